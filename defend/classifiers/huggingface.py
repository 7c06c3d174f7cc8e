"""A classifier in the format of the hub of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError, WeightsError, first_line
from clearsight.defend.classifiers.packaged import CACHE, Known, PackagedClassifier

if TYPE_CHECKING:
    from torch import nn


class HuggingFaceClassifier(PackagedClassifier):
    """An image classifier that ``transformers`` reads from a folder, or from its cache of the hub.

    Nothing is downloaded, no code of a repository is executed, and only ``.safetensors`` are read. Classes
    and their names are those of its ``config.json``; normalisation and size those of its
    ``preprocessor_config.json`` unless the fields say others.
    """

    purpose: ClassVar[str] = "an image classifier of transformers (pip install clearsight[huggingface])"
    package: ClassVar[str] = "transformers"
    extra: ClassVar[str] = "huggingface"
    old_names: ClassVar[dict[str, str]] = {"repo": "model"}

    kind: Literal["huggingface"] = "huggingface"
    model: Annotated[str, Field(min_length=1)]
    """Folder with ``config.json`` and ``model.safetensors``, or ``owner/name`` of the hub, whose files are in
    the cache already; may be written ``repo``."""
    checkpoint: str | None = CACHE
    """``cache``: the weights beside the config; left out likewise. None: fresh weights, to be trained."""

    @model_validator(mode="after")
    def _beside_the_config(self) -> Self:
        if self.checkpoint not in (None, CACHE):
            raise ValueError("checkpoint: the weights lie beside the config: name the folder as 'model'")
        return self

    def known(self) -> Known:
        """Return what the configs in the folder say."""
        told, seen = self._config(), self._preprocessing()
        names = tuple(str(told.id2label[i]) for i in range(told.num_labels))
        size = seen.get("size")
        sides: Any = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
        fixed = sides if all(isinstance(side, int) for side in sides) else None
        mean, std = seen.get("image_mean", (0.5,) * 3), seen.get("image_std", (0.5,) * 3)
        return Known(told.num_labels, names, tuple(mean), tuple(std), fixed)

    def bare(self, classes: int) -> nn.Module:
        """Return the network, with its weights where they are wanted, else with fresh ones."""
        from clearsight.defend.networks.chosen import LogitsOf

        auto = self.imported().AutoModelForImageClassification
        if self.checkpoint is None or self.weights is not None:
            told = self._config()
            told.num_labels = classes
            return LogitsOf(auto.from_config(told))
        if classes != self._config().num_labels:
            raise ConfigError(
                f"it gives {self._config().num_labels} classes, not {classes}",
                where=self.place,
                hint="leave 'classes' out, or keep some with 'only'",
            )
        return LogitsOf(self._read(auto.from_pretrained, use_safetensors=True))

    def _load(self, network: nn.Module) -> None:
        """Do nothing: `bare` read the weights."""

    def _file(self) -> Path:
        """Return the config; the weights are read with it."""
        self._config()
        return Path(self.model)

    def _config(self) -> Any:
        return self._read(self.imported().AutoConfig.from_pretrained)

    def _read(self, read: Any, **more: Any) -> Any:
        try:
            return read(self.model, local_files_only=True, trust_remote_code=False, **more)
        except (OSError, ValueError) as error:
            raise WeightsError(
                f"cannot be read: {first_line(error)}",
                where=self.place,
                hint=f"hf download {self.model}, or give the folder; nothing is downloaded here",
            ) from None

    def _preprocessing(self) -> dict[str, Any]:
        from importlib import import_module

        name = "preprocessor_config.json"
        folder = Path(self.model)
        if folder.is_dir():
            path = folder / name
        else:
            found = import_module("huggingface_hub").try_to_load_from_cache(self.model, name)
            path = Path(found) if isinstance(found, str) else folder / name
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
