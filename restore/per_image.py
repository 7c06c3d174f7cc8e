"""`PerImageRestorer`: what restorers share that find the damage of each image in its spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from clearsight.data.contract.spec import Gradient
from clearsight.restore.base import RestorerSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from clearsight.data.contract.types import Images


class PerImageRestorer(RestorerSpec):
    """Base of restorers that look at one image after another and undo what they find in it.

    What is found has no gradient: the surrogate is what was chosen for it.
    """

    gradient: ClassVar[Gradient] = Gradient.SURROGATE
    onnx: ClassVar[str] = "it reads the spectrum of the whole image, which onnxruntime computes too inexactly"

    def undone(self, image: Images) -> Images:
        """Hook: return one image (1, c, h, w) without the damage found in it; itself where there is none."""
        raise NotImplementedError

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the images without the damage that was found in each; the gradient ends here."""
        return self._undone(x.detach())

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the same images, with the gradient of what was chosen."""
        return self._undone(x)

    def _undone(self, x: Images) -> Images:
        import torch

        return torch.cat([self.undone(image) for image in torch.split(x, 1)])


def seen_luma(image: Images) -> NDArray[np.floating]:
    """Return the luma (h, w) of one image (1, c, h, w), without gradient, as a search reads it."""
    from clearsight.restore.ops.tone import luma

    seen: NDArray[np.floating] = luma(image.detach())[0, 0].cpu().numpy()
    return seen
