"""PSNR of the image that enters the system."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class PsnrIn(MeanMetric):
    """Mean PSNR (dB, RGB) of the corrupted image that enters, against the clean one."""

    kind: Literal["psnr_in"] = "psnr_in"
    columns: ClassVar[tuple[str, ...]] = ("psnr_in",)
    mean_of: ClassVar[str | None] = "psnr_in"
    purpose: ClassVar[str] = "dB between corrupted and clean image"
