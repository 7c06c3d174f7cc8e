"""PSNR of the luminance of the restored image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class PsnrY(Measurement):
    """Mean PSNR (dB, luma Y of BT.601) of the image that reaches the classifier, against the clean one.

    No border is left out, and nothing is rounded to 8 bits.
    """

    kind: Literal["psnr_y"] = "psnr_y"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="psnr_y_out",
            label="PSNR of Y",
            unit="dB",
            better="higher",
            digits=2,
            meaning="luminance against the clean one",
        ),
    )
    purpose: ClassVar[str] = "dB between restored and clean luminance"
    needs: ClassVar[frozenset[Need]] = frozenset({"restored", "reference"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return dB."""
        from clearsight.restore.quality.psnr_ssim import luminance, psnr

        return {"psnr_y_out": psnr(luminance(seen["restored"]), luminance(seen["reference"]))}
