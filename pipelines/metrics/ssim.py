"""SSIM of the restored image."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class Ssim(MeanMetric):
    """Mean SSIM (Wang et al. 2004) of the image that reaches the classifier, against the clean one."""

    kind: Literal["ssim"] = "ssim"
    columns: ClassVar[tuple[str, ...]] = ("ssim_out",)
    mean_of: ClassVar[str | None] = "ssim_out"
    purpose: ClassVar[str] = "structural similarity of restored and clean image"
