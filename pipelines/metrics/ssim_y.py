"""SSIM of the luminance of the restored image."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class SsimY(MeanMetric):
    """Mean SSIM of the luma Y (BT.601) of the image that reaches the classifier, against the clean one."""

    kind: Literal["ssim_y"] = "ssim_y"
    columns: ClassVar[tuple[str, ...]] = ("ssim_y_out",)
    mean_of: ClassVar[str | None] = "ssim_y_out"
    purpose: ClassVar[str] = "structural similarity of restored and clean luminance"
