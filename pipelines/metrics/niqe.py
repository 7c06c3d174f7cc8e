"""NIQE of the restored image."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class Niqe(MeanMetric):
    """Mean distance of the image that reaches the classifier from natural photographs; lower is better.

    After Mittal et al. (2013), fitted on BSDS500's 400 training and test photographs: not comparable to
    published NIQE. Images need at least 96x96 pixels.
    """

    kind: Literal["niqe"] = "niqe"
    columns: ClassVar[tuple[str, ...]] = ("niqe_out",)
    mean_of: ClassVar[str | None] = "niqe_out"
    purpose: ClassVar[str] = "unlikeness to photographs (own NIQE, fitted on BSDS500)"
