"""Averages several versions of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.spec import Flow
from clearsight.pipelines.systems.fusion.base import FusionSpec

if TYPE_CHECKING:
    from torch import Tensor


class MeanImages(FusionSpec):
    """Pixel-wise mean of the branches' images."""

    kind: Literal["mean_images"] = "mean_images"
    purpose: ClassVar[str] = "average the branches' images"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)
    gives: ClassVar[Flow] = Flow.IMAGES

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the mean over the branches, (n, c, h, w)."""
        import torch

        return torch.stack(list(inputs)).mean(0)
