"""Brier score."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class Brier(MeanMetric):
    """Mean squared distance between probabilities and the one-hot label, 0 to 2 (Brier 1950)."""

    kind: Literal["brier"] = "brier"
    columns: ClassVar[tuple[str, ...]] = ("brier",)
    mean_of: ClassVar[str | None] = "brier"
    purpose: ClassVar[str] = "squared distance of probabilities to the truth, 0 to 2"
