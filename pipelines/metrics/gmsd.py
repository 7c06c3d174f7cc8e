"""GMSD of the restored image: how unevenly its gradients differ from those of the clean one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen

STABILITY = 170.0
"""T of the paper, for gradients of grey values in 0 to 255: keeps flat regions from counting."""


class GMSD(Measurement):
    """Mean gradient magnitude similarity deviation (Xue et al. 2014) against the clean image.

    Luma of BT.601 in 0 to 255 is halved by 2x2 means; Prewitt gradients (divided by 3) of both images are
    compared at every pixel, and the standard deviation of that similarity is the figure: 0 for equal images.
    Borders are filled with zeros, as in the authors' code.
    """

    kind: Literal["gmsd"] = "gmsd"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="gmsd_out",
            label="GMSD",
            better="lower",
            digits=4,
            meaning="deviation of the gradients' similarity to those of the clean image",
        ),
    )
    purpose: ClassVar[str] = "unevenness of the gradients' likeness to the clean image"
    needs: ClassVar[frozenset[Need]] = frozenset({"restored", "reference"})
    # Halved, the image must hold the filter of 3x3 pixels.
    minimum: ClassVar[int] = 6

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the deviations."""
        first, second = (_gradient(seen[name]) for name in ("restored", "reference"))
        similarity = (2.0 * first * second + STABILITY) / (first.square() + second.square() + STABILITY)
        return {"gmsd_out": similarity.flatten(1).std(1)}


def _gradient(images: Tensor) -> Tensor:
    """Return the gradient's length (n, h / 2, w / 2) in grey levels; odd sides are rounded up."""
    import torch
    from torch.nn.functional import avg_pool2d, conv2d, pad

    from clearsight.restore.ops.tone import luma

    grey = 255.0 * luma(images)
    height, width = grey.shape[2:]
    halved = avg_pool2d(pad(grey, (0, width % 2, 0, height % 2)), 2)
    across = torch.tensor([1.0, 0.0, -1.0]).expand(3, 3) / 3.0
    kernels = torch.stack((across, across.T))[:, None].to(halved)
    return conv2d(halved, kernels, padding=1).square().sum(1).sqrt()
