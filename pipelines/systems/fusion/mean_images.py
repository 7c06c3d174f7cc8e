"""Averages several versions of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.pipelines.systems.fusion.base import FusionSpec

if TYPE_CHECKING:
    from torch import Tensor


class MeanImages(FusionSpec):
    """Pixel-wise mean of the branches' images."""

    kind: Literal["mean_images"] = "mean_images"
    purpose: ClassVar[str] = "average the branches' images"
    of: ClassVar[Literal["images", "logits"]] = "images"

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the mean over the branches, (n, c, h, w)."""
        import torch

        return torch.stack(list(inputs)).mean(0)
