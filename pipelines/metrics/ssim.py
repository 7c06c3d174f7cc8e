"""SSIM of the restored image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Ssim(Measurement):
    """Mean SSIM (Wang et al. 2004) of the image that reaches the classifier, against the clean one."""

    kind: Literal["ssim"] = "ssim"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="ssim_out",
            label="SSIM",
            better="higher",
            meaning="structural similarity to the clean image",
        ),
    )
    purpose: ClassVar[str] = "structural similarity of restored and clean image"
    needs: ClassVar[frozenset[Need]] = frozenset({"restored", "reference"})
    minimum: ClassVar[int] = 11
    also: ClassVar[tuple[str, ...]] = ("ssim_in",)

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the similarities."""
        from clearsight.restore.quality.psnr_ssim import ssim

        return {"ssim_out": ssim(seen["restored"], seen["reference"])}
