"""The system that a certificate is for, its parts given the noise level, or a refusal. No torch here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow, PartSpec
from clearsight.data.weights import find
from clearsight.defend.certify.base import Certificate
from clearsight.pipelines.systems.graph import Graph

NOISE_LEVEL = "noise_level"


def certifiable(graph: Graph, certificate: Certificate, *, system: str, name: str) -> Graph:
    """Return the system that is certified: parts that take the noise level get the certificate's.

    Args:
        graph: the system as the config has it.
        certificate: what is to be proved.
        system: name of the system, for messages.
        name: name of the certificate, for messages.

    Raises:
        ConfigError: the system gives no class; its answer depends on more than the image and the noise;
            it cannot be bounded; a part does not take this much noise.
    """
    where = f"certificate '{name}' of system '{system}'"
    if graph.gives is not Flow.LOGITS:
        raise ConfigError(f"it gives {graph.gives}, not logits: there is no class to certify", where=where)
    for part, spec in graph.parts.items():
        if spec.batch_dependent:
            raise ConfigError(
                f"part '{part}' ({spec.name}) answers by the images of its batch: nothing holds for one",
                where=where,
                hint="certify the classifier without it",
            )
        if spec.stochastic:
            raise ConfigError(
                f"part '{part}' ({spec.name}) draws random numbers besides the certificate's own noise",
                where=where,
                hint="certify the system without it",
            )
    if certificate.sees == "layers" and len(graph.steps) > 1:
        other = next(step for step in graph.steps if step.spec not in graph.classifiers)
        raise ConfigError(
            f"part '{other.part_name}' ({other.spec.name}) cannot be bounded: only a classifier alone can",
            where=where,
            hint="certify the system by smoothing",
        )
    graph = graph.unscreened()
    sigma = certificate.noise
    if sigma is None:
        return graph
    steps = (
        replace(step, spec=_told(step.part_name, step.spec, sigma, where))
        if step.spec.conditioned_on(NOISE_LEVEL)
        else step
        for step in graph.steps
    )
    return Graph(tuple(steps))


def told_parts(graph: Graph) -> list[str]:
    """Return the names of the parts that are given a certificate's noise level."""
    return [name for name, spec in graph.parts.items() if spec.conditioned_on(NOISE_LEVEL)]


def _told(part: str, spec: PartSpec, sigma: float, where: str) -> PartSpec:
    highest = _trained_to(spec)
    if highest is not None and sigma > highest:
        raise ConfigError(
            f"part '{part}' was trained for noise up to sigma {highest:.4g}, not {sigma:g}",
            where=where,
            hint="smooth with less noise, or train a denoiser for more (method denoise, highest)",
        )
    fields: dict[str, Any] = spec.model_dump(exclude_unset=True) | {"sigma": sigma}
    try:
        return type(spec).model_validate(fields)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigError(f"part '{part}' does not take sigma {sigma:g}: {reason}", where=where) from None


def _trained_to(spec: PartSpec) -> float | None:
    """Return the strongest noise that a denoiser was trained for, as its card says; None for others."""
    if spec.weights is None:
        return None
    method = find(spec.weights).card.get("recipe", {}).get("method", {})
    return float(method["highest"]) if method.get("kind") == "denoise" and "highest" in method else None
