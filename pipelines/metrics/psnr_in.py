"""PSNR of the image that enters the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class PsnrIn(Measurement):
    """Mean PSNR (dB, RGB) of the image that enters, corrupted and attacked, against the clean one."""

    kind: Literal["psnr_in"] = "psnr_in"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="psnr_in",
            label="PSNR before",
            unit="dB",
            better="higher",
            digits=2,
            meaning="corrupted image against the clean one",
        ),
    )
    purpose: ClassVar[str] = "dB between corrupted and clean image"
    needs: ClassVar[frozenset[Need]] = frozenset({"entered", "reference"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return dB."""
        from clearsight.restore.quality.psnr_ssim import psnr

        return {"psnr_in": psnr(seen["entered"], seen["reference"])}
