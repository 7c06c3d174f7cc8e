"""Confidence of the prediction."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class Confidence(MeanMetric):
    """Mean largest softmax probability; needs no labels."""

    kind: Literal["confidence"] = "confidence"
    columns: ClassVar[tuple[str, ...]] = ("confidence",)
    mean_of: ClassVar[str | None] = "confidence"
    purpose: ClassVar[str] = "mean largest probability"
