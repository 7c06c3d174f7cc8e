"""Denoising by block matching and 3-D filtering."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Gradient
from clearsight.restore.base import RestorerFacts
from clearsight.restore.noise_conditioned import NoiseConditioned

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images, PerImage

QUIET = 1e-4
"""Below this standard deviation, a fortieth of a grey level, there is nothing to remove."""


class BM3D(NoiseConditioned):
    """Collaborative filtering: like blocks are stacked and shrunk together in 3-D (Dabov et al. 2007).

    A first pass thresholds the stacks of the noisy image, a second one, whose stacks are found in the first
    one's result, shrinks them by Wiener's rule. Colour images are turned into an orthonormal opponent space,
    whose luminance decides which blocks are alike. Own code, without any of the authors'. It has no network.
    """

    kind: Literal["bm3d"] = "bm3d"
    purpose: ClassVar[str] = "removes noise; the strongest without training, slow"
    gradient: ClassVar[Gradient] = Gradient.BLOCKED
    onnx: ClassVar[str] = "groups of blocks differ in size from image to image"

    search: Annotated[int, Field(ge=1, le=32)] = 14
    """Like blocks are sought so many pixels beyond a cell of 4 x 4 reference blocks, on every side."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: blocks lie on a grid that is fixed to the image's borders."""
        return RestorerFacts(minimum=8)

    def restore_told(self, x: Images, network: nn.Module | None, sigma: PerImage) -> Images:
        """Return the denoised images for these noise levels; no gradient goes through."""
        import torch

        from clearsight.restore.ops.bm3d import bm3d
        from clearsight.restore.ops.opponent import turned

        with torch.no_grad():
            planes = turned(x.detach())
            levels = sigma.flatten().tolist()
            done = [
                bm3d(image, level, self.search) if level > QUIET else image
                for image, level in zip(planes, levels, strict=True)
            ]
            return turned(torch.stack(done), back=True)
