"""Negative log-likelihood of the label."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class Nll(MeanMetric):
    """Mean negative log-likelihood (cross-entropy, nats) of the label."""

    kind: Literal["nll"] = "nll"
    columns: ClassVar[tuple[str, ...]] = ("loss",)
    mean_of: ClassVar[str | None] = "loss"
    purpose: ClassVar[str] = "mean cross-entropy of the label, in nats"
