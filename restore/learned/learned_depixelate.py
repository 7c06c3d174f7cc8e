"""Blocks of images that were enlarged without interpolation, filled in by a super-resolution network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.spec import Gradient, Number
from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.classical.depixelate import Depixelate, small_image
from clearsight.restore.named_network import fingerprint_with, named_network, refuse_own_weights

if TYPE_CHECKING:
    from torch import nn

    from clearsight.data.contract.types import Images


class LearnedDepixelate(RestorerSpec):
    """As `depixelate`, and halfway to what a super-resolution network makes of the small image.

    The blocks are the pixels of a small image. The named network enlarges it, the result is resized to the
    image, and the mean of that and of the interpolated blocks is returned: networks are trained on images
    that were reduced by another filter than the mean over blocks, and alone sharpen too much. Restorers that
    search for blur take an interpolated image for a blurred one, but not this one's.

    As there, an attack sees the identity: that is the surrogate.
    """

    kind: Literal["learned_depixelate"] = "learned_depixelate"
    gradient: ClassVar[Gradient] = Gradient.SURROGATE
    purpose: ClassVar[str] = "fills in the blocks of pixelated images by a trained network"
    onnx: ClassVar[str] = "the size of the small image depends on what is found in it"

    finest: Annotated[Number, Field(gt=0, le=1)] = 0.85
    """Blocks per pixel along each axis above which an image is left alone."""
    upscaler: str = "sr-x4-v1"
    """Id or folder of the weights of a super-resolution network."""

    @model_validator(mode="after")
    def _names_upscaler(self) -> Self:
        refuse_own_weights(self, "upscaler")
        return self

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: the grid is that of the whole image."""
        return RestorerFacts(channels=self._upscaler().facts.channels)

    def ready(self) -> None:
        """Raise `WeightsError` unless the upscaler can be found and enlarges."""
        self._upscaler()

    def fingerprint(self) -> str:
        """Return a key of the fields and of the sha256 of the upscaler's weights."""
        return fingerprint_with(self, ("upscaler",))

    def network(self) -> nn.Module:
        """Return the upscaler with its weights."""
        return self._upscaler().build().requires_grad_(requires_grad=False)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the images, those with blocks filled in."""
        import torch
        from torch.nn import functional

        interpolated = Depixelate(finest=self.finest).restore(x, None)
        changed = (interpolated != x).flatten(1).any(dim=1)
        out = []
        for image, smooth, blocks in zip(
            torch.split(x, 1), torch.split(interpolated, 1), changed, strict=True
        ):
            if blocks:
                large = self.computed(network, small_image(image.detach()))
                size = (x.shape[2], x.shape[3])
                sharp = functional.interpolate(
                    large, size=size, mode="bicubic", antialias=True, align_corners=False
                )
                smooth = (smooth + sharp.clamp(0.0, 1.0)) / 2.0
            out.append(smooth)
        return torch.cat(out)

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the identity."""
        return 1.0 * x

    def _upscaler(self) -> RestorerSpec:
        where = f"{self.name}, upscaler"
        spec = named_network(self.upscaler, where=where)
        if spec.facts.scale == 1:
            raise WeightsError(
                f"'{self.upscaler}' is of kind {spec.name}, which does not enlarge",
                where=where,
                hint="name the weights of a super-resolution network",
            )
        return spec
