"""How well scores of confidence tell images of something else: the figures in ``summary.json``."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.contract.estimate import Estimate


@dataclass(frozen=True)
class OtherImages:
    """A source of images of something else.

    Attributes:
        name: in the config.
        kind: of the registry.
        images: how many.
        fingerprint: of their contents.
    """

    name: str
    kind: str
    images: int
    fingerprint: str


@dataclass(frozen=True)
class OodFigures:
    """How well a score tells the images of a run, under a condition, from those of another source.

    Attributes:
        score: ``confidence``, ``entropy``, ``energy`` or ``logit_margin``.
        known: images of the run; ``other``: of the source.
        auroc: probability that an image of the run is the surer one.
        aupr_in: average precision of finding the images of the run; ``aupr_out`` of finding the others.
        fpr95: share of the others accepted with 95 % of the images of the run.
    """

    system: str
    condition: str
    source: str
    score: str
    known: int
    other: int
    auroc: Estimate
    aupr_in: Estimate
    aupr_out: Estimate
    fpr95: Estimate
