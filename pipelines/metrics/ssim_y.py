"""SSIM of the luminance of the restored image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class SsimY(Measurement):
    """Mean SSIM of the luma Y (BT.601) of the image that reaches the classifier, against the clean one."""

    kind: Literal["ssim_y"] = "ssim_y"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="ssim_y_out",
            label="SSIM of Y",
            better="higher",
            meaning="structural similarity of the luminance",
        ),
    )
    purpose: ClassVar[str] = "structural similarity of restored and clean luminance"
    needs: ClassVar[frozenset[Need]] = frozenset({"restored", "reference"})
    minimum: ClassVar[int] = 11

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the similarities."""
        from clearsight.restore.quality.psnr_ssim import luminance, ssim

        return {"ssim_y_out": ssim(luminance(seen["restored"]), luminance(seen["reference"]))}
