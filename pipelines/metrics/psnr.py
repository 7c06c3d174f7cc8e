"""PSNR of the restored image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class PSNR(Measurement):
    """Mean PSNR (dB, RGB) of the image that reaches the classifier, against the clean one."""

    kind: Literal["psnr"] = "psnr"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="psnr_out",
            label="PSNR",
            unit="dB",
            better="higher",
            digits=2,
            meaning="restored image against the clean one",
        ),
    )
    purpose: ClassVar[str] = "dB between restored and clean image"
    needs: ClassVar[frozenset[Need]] = frozenset({"restored", "reference"})
    always: ClassVar[bool] = True

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return dB."""
        from clearsight.restore.quality.psnr_ssim import psnr

        return {"psnr_out": psnr(seen["restored"], seen["reference"])}
