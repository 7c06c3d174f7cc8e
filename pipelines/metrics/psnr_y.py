"""PSNR of the luminance of the restored image."""

from __future__ import annotations

from typing import ClassVar, Literal

from clearsight.pipelines.metrics.base import MeanMetric


class PsnrY(MeanMetric):
    """Mean PSNR (dB, luma Y of BT.601) of the image that reaches the classifier, against the clean one.

    No border is left out, and nothing is rounded to 8 bits.
    """

    kind: Literal["psnr_y"] = "psnr_y"
    columns: ClassVar[tuple[str, ...]] = ("psnr_y_out",)
    mean_of: ClassVar[str | None] = "psnr_y_out"
    purpose: ClassVar[str] = "dB between restored and clean luminance"
