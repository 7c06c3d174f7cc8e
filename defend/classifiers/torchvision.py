"""A classifier of the package torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.defend.classifiers.packaged import Known, PackagedClassifier
from clearsight.defend.foreign import IMAGENET

if TYPE_CHECKING:
    from torch import nn

CLASSES = 1000
"""Classes of ImageNet, which torchvision's networks are made for."""


class TorchvisionClassifier(PackagedClassifier):
    """Any classification network of torchvision (``torchvision.models.list_models``).

    Nothing is downloaded: ``checkpoint: cache`` takes the default weights from torch's own cache, after
    comparing the file with the checksum in its name. Normalisation is ImageNet's unless
    the fields say another.
    """

    purpose: ClassVar[str] = "a network of torchvision (pip install clearsight[torchvision])"
    package: ClassVar[str] = "torchvision"
    extra: ClassVar[str] = "torchvision"

    kind: Literal["torchvision"] = "torchvision"

    def known(self) -> Known:
        """Return what torchvision says of the default weights."""
        names = tuple(self._weights().meta.get("categories", ()))
        return Known(len(names) or CLASSES, names, IMAGENET["mean"], IMAGENET["std"])

    def bare(self, classes: int) -> nn.Module:
        """Return the network with fresh weights."""
        made: nn.Module = self._models().get_model(self.model, weights=None, num_classes=classes)
        return made

    def cached(self) -> Path | None:
        """Return the file in torch's cache."""
        import torch

        path = Path(torch.hub.get_dir()) / "checkpoints" / self._name()
        return path if path.is_file() else None

    def download_hint(self) -> str:
        """Return the command that fills torch's cache."""
        import torch

        place = Path(torch.hub.get_dir()) / "checkpoints"
        return f"download {self._weights().url} into {place}, or give the path of a file"

    def _name(self) -> str:
        return str(self._weights().url).rpartition("/")[2]

    def _models(self) -> Any:
        from importlib import import_module

        self.imported()
        models = import_module("torchvision.models")
        known = models.list_models(module=models)
        if self.model not in known:
            raise ConfigError("no such network", where=self.place, hint=near_miss(self.model, known))
        return models

    def _weights(self) -> Any:
        return self._models().get_model_weights(self.model).DEFAULT
