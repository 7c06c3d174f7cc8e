"""Random size and place as a defence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from clearsight.data.contract.types import Images


class RandomResize(RestorerSpec):
    """Shrinks an image by a random factor and puts it at a random place on a grey ground (Xie et al. 2018).

    The authors enlarge the image (299 to at most 331 pixels); here it shrinks, so that the size stays what
    the classifier was trained for. Known not to be a defence: an attacker who averages the gradient over
    draws breaks it (Athalye et al. 2018). It is here to be attacked.
    """

    kind: Literal["random_resize"] = "random_resize"
    purpose: ClassVar[str] = "random size and place; known not to be a defence"
    stochastic: ClassVar[bool] = True
    onnx: ClassVar[str] = "draws random numbers that depend on the image, which an ONNX graph cannot repeat"
    old_names: ClassVar[dict[str, str]] = {"least": "min_scale", "ground": "fill"}

    min_scale: Annotated[Number, Field(gt=0, le=1)] = 0.9
    """Smallest factor; one is drawn uniformly from [this, 1] for both sides, rounded to whole pixels."""
    fill: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Value of the pixels around the shrunken image; the authors pad with grey."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: where a pixel comes from depends on the size of the whole image."""
        return RestorerFacts()

    def randomized(
        self, x: Images, network: nn.Module | None, generators: Sequence[torch.Generator]
    ) -> Images:
        """Return each image at its own size and place; bilinear, without antialiasing."""
        import torch

        images = [self._one(x[i : i + 1], generator) for i, generator in enumerate(generators)]
        return torch.cat(images)

    def _one(self, image: Images, generator: torch.Generator) -> Images:
        import torch
        from torch.nn import functional

        height, width = image.shape[2:]
        share = self.min_scale + (1.0 - self.min_scale) * torch.rand((), generator=generator).item()
        size = max(1, round(height * share)), max(1, round(width * share))
        free = height - size[0], width - size[1]
        top, left = (int(torch.randint(room + 1, (), generator=generator)) for room in free)
        small = functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
        around = (left, free[1] - left, top, free[0] - top)
        return functional.pad(small, around, value=self.fill)
