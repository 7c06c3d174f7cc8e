"""Zero-DCE: learns to brighten from dark images alone, by what a well-lit image should be like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from pydantic import Field

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.spec import Number
from clearsight.restore.training.low_light import LowLight

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

REGION = 4
"""Side in pixels of the regions whose contrast to their neighbours is kept."""

Weight = Annotated[Number, Field(ge=0)]


class ZeroReference(LowLight):
    """The four losses of Guo et al. 2020, "Zero-Reference Deep Curve Estimation", with their weights.

    They ask for a mid-grey of ``exposure`` everywhere, for the contrasts between neighbouring regions that
    the input has, for grey on average, and for curves that change little from pixel to pixel. Trains networks
    of kind ``zero_dce`` only, for the last loss is about their curves.

    Nothing is learned from the reference images: validation darkens them. With dark images as
    targets, darkened further, the checkpoint that brightens least would be chosen.
    """

    kind: Literal["zero_dce"] = "zero_dce"
    purpose: ClassVar[str] = "curves for dark images, learned without any reference"
    needs_reference: ClassVar[bool] = True

    exposure: Annotated[Number, Field(gt=0, lt=1)] = 0.6
    """Mean that every region should have, in [0, 1]."""
    region: Annotated[int, Field(ge=4, le=128)] = 16
    """Side in pixels of the regions whose mean should be ``exposure``; no larger than the training crops."""
    spatial_weight: Weight = 1.0
    """Weight of the spatial consistency."""
    exposure_weight: Weight = 1.0
    """Weight of the exposure control."""
    colour_weight: Weight = 0.5
    """Weight of the colour constancy."""
    smooth_weight: Weight = 20.0
    """Weight of the illumination smoothness."""

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the weighted sum of the four losses.

        Raises:
            ConfigError: the model is of another kind, or the crops are smaller than a region.
        """
        from clearsight.restore.networks.zero_dce import ZeroDCENet, applied

        network = cast("Restorer", networks[MODEL]).network
        if not isinstance(network, ZeroDCENet):
            raise ConfigError(
                "this method trains curves", where=self.kind, hint="write model: {kind: zero_dce}"
            )
        images = batch.images
        if min(images.shape[2:]) < self.region:
            raise ConfigError(
                f"images of {images.shape[2]}x{images.shape[3]} hold no region of {self.region}",
                where=self.kind,
                hint="raise 'patch' or lower 'region'",
            )
        curves = network.curves(images)
        result = applied(images, curves)
        loss = self.spatial_weight * spatial_consistency(images, result)
        loss = loss + self.exposure_weight * exposure_control(result, self.exposure, self.region)
        loss = loss + self.colour_weight * colour_constancy(result)
        yield MODEL, loss + self.smooth_weight * illumination_smoothness(curves)


def spatial_consistency(before: Tensor, after: Tensor) -> Tensor:
    """Return how much the contrast between neighbouring regions of 4x4 pixels changed.

    For each region the squared change of the absolute difference to its neighbours above, below, left and
    right is summed; the mean is taken over regions. Neighbours outside the image do not count.

    Args:
        before: (n, c, h, w), at least 4x4 pixels.
        after: same shape.
    """
    from torch.nn.functional import avg_pool2d

    old, new = (avg_pool2d(x.mean(dim=1, keepdim=True), REGION) for x in (before, after))
    total = old.new_zeros(())
    for axis in (2, 3):
        change = new.diff(dim=axis).abs() - old.diff(dim=axis).abs()
        # Every pair of neighbours is seen from both sides.
        total = total + 2.0 * change.square().sum()
    return total / old.numel()


def exposure_control(x: Tensor, level: float, region: int) -> Tensor:
    """Return the mean absolute distance of the regions' means to a level.

    Args:
        x: (n, c, h, w), at least one region large.
        level: wanted mean, in [0, 1].
        region: side of the regions, which do not overlap.
    """
    from torch.nn.functional import avg_pool2d

    return (avg_pool2d(x.mean(dim=1, keepdim=True), region) - level).abs().mean()


def colour_constancy(x: Tensor) -> Tensor:
    """Return the summed squared differences between the means of red, green and blue, averaged over images.

    Args:
        x: (n, 3, h, w).
    """
    means = x.mean(dim=(2, 3))
    return (means - means.roll(1, dims=1)).square().sum(dim=1).mean()


def illumination_smoothness(curves: Tensor) -> Tensor:
    """Return (|dx| + |dy|)^2 of the curve maps, summed over the three channels of an iteration.

    The mean is taken over images, iterations and pixels that have a right and a lower neighbour.

    Args:
        curves: (n, 3 k, h, w), at least 2x2 pixels.
    """
    across = curves.diff(dim=3)[:, :, :-1, :].abs()
    down = curves.diff(dim=2)[:, :, :, :-1].abs()
    return 3.0 * (across + down).square().mean()
