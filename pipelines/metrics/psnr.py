"""PSNR of the restored image."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class PSNR(MeanMetric):
    """Mean PSNR (dB, RGB) of the image that reaches the classifier, against the clean one."""

    kind: Literal["psnr"] = "psnr"
    columns: ClassVar[tuple[str, ...]] = ("psnr_out",)
    mean_of: ClassVar[str | None] = "psnr_out"
    purpose: ClassVar[str] = "dB between restored and clean image"
