"""`Bounding`: certificates by bounds of every layer of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number, kind_of
from clearsight.defend.certify.base import ABSTAINS, Certificate
from clearsight.defend.probe import Sees

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.bounds.layers import Layer
    from clearsight.defend.target import AttackBatch, Target


class Bounding(Certificate):
    """Base of certificates by bounds of every layer: of sequential networks of affine layers and ReLUs.

    They hold for the network itself, computed without rounding, in the linf ball cut with [0, 1]. A subclass
    adds ``kind`` and the hook `margins`.
    """

    sees: ClassVar[Sees] = "layers"
    norm: ClassVar[Literal["l2", "linf", "l1"]] = "linf"

    eps: Annotated[Number, Field(gt=0, le=1)] = 8 / 255
    """Largest radius, which is tried first; an image that is not certified there is tried at smaller ones."""
    halvings: Annotated[int, Field(ge=0, le=30)] = 6
    """Smaller radii that are tried, by halving: the radius is known to ``eps`` / 2^halvings. With 0, ``eps``
    alone."""

    @property
    def largest(self) -> float:
        """Return ``eps``."""
        return self.eps

    def passes(self) -> int:
        """Return 1: the forward pass that gives the class."""
        return 1

    def margins(self, layers: Sequence[Layer], low: Tensor, high: Tensor, rivals: Tensor) -> Tensor:
        """Hook: return lower bounds (n, k) of functionals ``rivals`` (n, k, classes) of the logits.

        Args:
            layers: of the network.
            low: float64 (n, c, h, w), the least images.
            high: the greatest.
            rivals: rows of a class less another one.
        """
        raise NotImplementedError

    def examine(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the `columns` of each image, float64 (n, 3)."""
        import torch

        from clearsight.defend.bounds.layers import layers_of, refuse_other

        layers = layers_of(target.layers(), kind_of(self))
        logits = target.logits(batch.images, batch.rows)
        refuse_other(layers, batch.images, logits, kind_of(self))
        classes = logits.argmax(1)
        radius = self._radii(layers, batch.images.double(), _less_rivals(classes, logits.shape[1]))
        held = torch.where(radius > 0, classes, ABSTAINS).double()
        return torch.stack([held, radius, classes.double()], dim=1).cpu()

    def _radii(self, layers: Sequence[Layer], images: Tensor, rivals: Tensor) -> Tensor:
        """Return the largest radius (n,) that is certified of those that are tried."""
        import torch

        low, high = torch.zeros_like(images[:, 0, 0, 0]), torch.full_like(images[:, 0, 0, 0], self.eps)
        tried, size = torch.arange(len(images), device=images.device), high.clone()
        for _ in range(self.halvings + 1):
            around = size[tried].view(-1, 1, 1, 1)
            box = ((images[tried] - around).clamp(0, 1), (images[tried] + around).clamp(0, 1))
            holds = (self.margins(layers, *box, rivals[tried]) > 0).all(1)
            low[tried[holds]], high[tried[~holds]] = size[tried[holds]], size[tried[~holds]]
            tried = tried[low[tried] < self.eps]
            if not len(tried):
                break
            size = (low + high) / 2
        return low


def _less_rivals(classes: Tensor, count: int) -> Tensor:
    """Return for each class (n,) the rows that take every other logit off its own, (n, count - 1, count)."""
    import torch

    eye = torch.eye(count, dtype=torch.float64, device=classes.device)
    every = eye[classes][:, None, :] - eye[None]
    return every[eye[classes] == 0].view(len(classes), count - 1, count)
