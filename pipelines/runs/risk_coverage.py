"""Error against the share of answers that are given: the figures in ``summary.json``."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.contract.estimate import Estimate

COVERAGES = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))
"""Shares of the surest answers at which the error is told."""


@dataclass(frozen=True)
class RiskCurve:
    """The error of the surest answers of a cell, by their share.

    Attributes:
        coverages: shares of the answers, the surest by the largest probability.
        risks: share of them that is wrong, with Wilson's interval, for each.
    """

    system: str
    condition: str
    attack: str
    coverages: tuple[float, ...]
    risks: tuple[Estimate, ...]
