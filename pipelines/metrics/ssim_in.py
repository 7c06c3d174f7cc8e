"""SSIM of the corrupted image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class SsimIn(Measurement):
    """Mean SSIM (Wang et al. 2004) of the corrupted image, before any attack, against the clean one."""

    kind: Literal["ssim_in"] = "ssim_in"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="ssim_in",
            label="SSIM before",
            better="higher",
            meaning="structural similarity of the corrupted image to the clean one",
        ),
    )
    purpose: ClassVar[str] = "structural similarity of corrupted and clean image"
    needs: ClassVar[frozenset[Need]] = frozenset({"corrupted", "reference"})
    minimum: ClassVar[int] = 11

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the similarities."""
        from clearsight.restore.quality.psnr_ssim import ssim

        return {"ssim_in": ssim(seen["corrupted"], seen["reference"])}
