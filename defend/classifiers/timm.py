"""A classifier of the package timm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.defend.classifiers.packaged import Known, PackagedClassifier

if TYPE_CHECKING:
    from torch import nn

FILE = "model.safetensors"


class TimmClassifier(PackagedClassifier):
    """Any network that ``timm.create_model`` builds (Wightman 2019).

    Nothing is downloaded: ``checkpoint: cache`` takes what is in the cache of huggingface_hub. Normalisation
    is that of the pretrained weights unless the fields say another.
    """

    purpose: ClassVar[str] = "a network of timm (pip install clearsight[timm])"
    package: ClassVar[str] = "timm"
    extra: ClassVar[str] = "timm"

    kind: Literal["timm"] = "timm"

    def known(self) -> Known:
        """Return what timm's config of the pretrained weights says."""
        told = self._config()
        fixed = tuple(told.input_size[1:]) if getattr(told, "fixed_input_size", False) else None
        return Known(told.num_classes, (), tuple(told.mean), tuple(told.std), fixed)

    def bare(self, classes: int) -> nn.Module:
        """Return the network with fresh weights."""
        made: nn.Module = self.imported().create_model(self.model, pretrained=False, num_classes=classes)
        return made

    def cached(self) -> Path | None:
        """Return the file in huggingface_hub's cache."""
        from importlib import import_module

        hub = import_module("huggingface_hub")
        repo = getattr(self._config(), "hf_hub_id", None)
        found = hub.try_to_load_from_cache(repo, FILE) if repo else None
        return Path(found) if isinstance(found, str) else None

    def download_hint(self) -> str:
        """Return the command of huggingface_hub."""
        repo = getattr(self._config(), "hf_hub_id", None)
        return f"hf download {repo} {FILE}, or give the path of a file" if repo else "give the path of a file"

    def _config(self) -> Any:
        timm = self.imported()
        if not timm.is_model(self.model):
            raise ConfigError("timm has no such network", where=self.place, hint=_near(self.model, timm))
        told = timm.get_pretrained_cfg(self.model)
        if told is None:
            raise ConfigError(
                "timm has no such weights", where=self.place, hint="leave out what is behind '.'"
            )
        return told


def _near(word: str, timm: Any) -> str:
    from difflib import get_close_matches

    known = timm.list_models()
    close = get_close_matches(word, known, n=5, cutoff=0.4)
    return near_miss(word, close) if close else f"timm.list_models() names {len(known)}"
