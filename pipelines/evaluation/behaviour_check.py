"""Whether systems behave as results require: equal outputs for equal images, alone or batched; logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import Flow
from clearsight.data.sources.base import Entry, Source
from clearsight.defend.foreign import ForeignClassifier
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.systems.behaviour import (
    EQUAL,
    are_probabilities,
    change_between_calls,
    change_in_company,
)
from clearsight.pipelines.systems.graph import OUT
from clearsight.pipelines.systems.system import System

LOOKED_AT = 4
"""Images that systems are tried with before a run."""
BETWEEN_CALLS = "gives different outputs for equal images"


def behaviour_warnings(
    systems: Mapping[str, System], source: Source, entries: Sequence[Entry]
) -> tuple[str, ...]:
    """Return what a reader of the results must know of how systems behave.

    Each system computes a few images twice, together and one by one. Declared random parts are exempt:
    their draws are a function of the image.

    Args:
        systems: in eval mode, on the CPU.
        source: where images come from.
        entries: the images of the run.
    """
    images = _first(source, entries)
    if images is None:
        return ()
    warnings = []
    for name, system in systems.items():
        with torch.inference_mode():
            warnings += [f"system '{name}' {what}" for what in _found(system, images)]
    return tuple(warnings)


def refuse_unsteady(
    systems: Mapping[str, System], names: Sequence[str], source: Source, entries: Sequence[Entry]
) -> None:
    """Refuse certificates of systems that are found to depend on more than the image.

    Args:
        systems: in eval mode, on the CPU.
        names: of those that are to be certified; none of their parts is declared random.
        source: where images come from.
        entries: the images of the run.

    Raises:
        ConfigError: a system gives equal images different outputs, or an image others in a batch than alone.
    """
    images = _first(source, entries) if names else None
    if images is None:
        return
    for name in names:
        with torch.inference_mode():
            reason = _unsteady(systems[name], images)
        if reason:
            raise ConfigError(
                f"system '{name}' {reason}: nothing can be certified of it",
                where="certify",
                hint="certify another system",
            )


def _first(source: Source, entries: Sequence[Entry]) -> Tensor | None:
    """Return the first images of one size (n, c, h, w), None where none can be read."""
    samples = [sample for sample in source.read(entries[:LOOKED_AT]) if isinstance(sample, Sample)]
    alike = [sample.image for sample in samples if sample.image.shape == samples[0].image.shape]
    return to_tensor(alike) if alike else None


def _found(system: System, images: Tensor) -> list[str]:
    values = system.trace(images)
    warnings = [
        f"has a classifier ('{step.part_name}') that gives probabilities where logits are expected:"
        " confidence, calibration and losses are wrong; add 'output: probabilities' to the part"
        for step in system.graph.steps
        if step.gives is Flow.LOGITS and _gives_probabilities(step.spec, values[step.name])
    ]
    if system.stochastic:
        return warnings

    reason = _unsteady(system, images)
    if reason:
        consequence = "cannot be repeated" if reason.startswith(BETWEEN_CALLS) else "depend on 'chunk'"
        warnings.append(f"{reason}: its figures {consequence}")
    return warnings


def _unsteady(system: System, images: Tensor) -> str:
    """Return how a system depends on more than the image; nothing where it does not."""

    def compute(places: Sequence[int]) -> Tensor:
        return system.trace(images[list(places)])[OUT]

    if change_between_calls(compute, len(images)) > EQUAL:
        return f"{BETWEEN_CALLS} (dropout or noise that stays active?)"
    if change_in_company(compute, len(images)) > EQUAL:
        return "gives an image other outputs in company than alone (batch statistics?)"
    return ""


def _gives_probabilities(spec: object, out: Tensor) -> bool:
    # Only of what users bring: the project's own networks end in a linear layer.
    if not isinstance(spec, ForeignClassifier) or spec.output != "logits":
        return False
    return are_probabilities(out)
