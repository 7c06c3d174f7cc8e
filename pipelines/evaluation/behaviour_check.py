"""Whether systems behave as results need it: equal outputs for equal images, alone as in company; logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

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


def behaviour_warnings(
    systems: Mapping[str, System], source: Source, entries: Sequence[Entry]
) -> tuple[str, ...]:
    """Return what a reader of the results must know of how systems behave.

    Each system computes a few images twice, together and one by one. Random parts that say so are left out:
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

    def compute(places: Sequence[int]) -> Tensor:
        return system.trace(images[list(places)])[OUT]

    if change_between_calls(compute, len(images)) > EQUAL:
        warnings.append(
            "gives different outputs for equal images (dropout or noise that stays active?):"
            " its figures cannot be repeated"
        )
    elif change_in_company(compute, len(images)) > EQUAL:
        warnings.append(
            "gives an image other outputs in company than alone (batch statistics?): its figures depend on"
            " 'chunk'"
        )
    return warnings


def _gives_probabilities(spec: object, out: Tensor) -> bool:
    # Only of what users bring: the project's own networks end in a linear layer.
    if not isinstance(spec, ForeignClassifier) or spec.output != "logits":
        return False
    return are_probabilities(out)
