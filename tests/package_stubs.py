"""Stand-ins for timm, torchvision and transformers, which classifiers are built by and tests run without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CLASSES = 7
"""Logits of the stubs' pretrained networks."""
NAMES = tuple(f"thing {i}" for i in range(CLASSES))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Tiny(nn.Sequential):
    """One convolution and a linear layer; weights from torch's global generator, as those packages draw them."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
        )


def state() -> dict[str, Tensor]:
    """Return the pretrained weights of the stubs."""
    shapes = {name: tensor.shape for name, tensor in Tiny(CLASSES).state_dict().items()}
    draw = torch.Generator().manual_seed(5)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def _known(model: str) -> bool:
    return model in ("tiny", "tiny.v1")


def timm() -> ModuleType:
    told = SimpleNamespace(
        num_classes=CLASSES,
        mean=MEAN,
        std=STD,
        input_size=(3, 32, 32),
        hf_hub_id="owner/tiny",
        fixed_input_size=False,
    )

    def create_model(model: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        assert _known(model)
        assert not pretrained, "that would download"
        return Tiny(num_classes)

    return _module(
        "timm",
        create_model=create_model,
        is_model=_known,
        get_pretrained_cfg=lambda model: told,
        list_models=lambda: ["tiny", "small"],
    )


def torchvision_models() -> ModuleType:
    weights = SimpleNamespace(
        url="https://example.org/models/tiny-HASH.pth", meta={"categories": list(NAMES)}
    )

    def get_model(model: str, *, weights: None, num_classes: int) -> nn.Module:
        assert weights is None, "that would download"
        return Tiny(num_classes)

    return _module(
        "torchvision.models",
        get_model=get_model,
        get_model_weights=lambda model: SimpleNamespace(DEFAULT=weights),
        list_models=lambda module: ["tiny", "small"],
    )


def huggingface_hub(cache: Path) -> ModuleType:
    def try_to_load_from_cache(repo: str, file: str) -> str | None:
        path = cache / repo / file
        return str(path) if path.is_file() else None

    return _module("huggingface_hub", try_to_load_from_cache=try_to_load_from_cache)


def transformers() -> ModuleType:
    def config(folder: str, **told: bool) -> SimpleNamespace:
        assert told == {"local_files_only": True, "trust_remote_code": False}
        if not (Path(folder) / "config.json").is_file():
            raise OSError(f"{folder} is not a local folder")
        read = json.loads((Path(folder) / "config.json").read_text())
        named = {int(i): name for i, name in read["id2label"].items()}
        return SimpleNamespace(id2label=named, num_labels=len(named))

    class Classifier(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.tiny = Tiny(classes)

        def forward(self, x: Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.tiny(x))

    def from_pretrained(folder: str, *, use_safetensors: bool, **told: bool) -> nn.Module:
        assert use_safetensors
        made = Classifier(config(folder, **told).num_labels)
        made.tiny.load_state_dict(load_file(Path(folder) / "model.safetensors"))
        return made

    return _module(
        "transformers",
        AutoConfig=SimpleNamespace(from_pretrained=config),
        AutoModelForImageClassification=SimpleNamespace(
            from_pretrained=from_pretrained, from_config=lambda told: Classifier(told.num_labels)
        ),
    )


def write_repo(folder: Path, *, side: int | None = None) -> Path:
    """Write a repository of the hub's format with the stub's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(NAMES))}))
    seen: dict[str, Any] = {"image_mean": MEAN, "image_std": STD}
    if side is not None:
        seen["size"] = {"height": side, "width": side}
    (folder / "preprocessor_config.json").write_text(json.dumps(seen))
    save_file(state(), folder / "model.safetensors")
    return folder


@contextmanager
def stubs(cache: Path) -> Iterator[None]:
    """Let the stubs stand for the packages, whether those are installed or not; the hub's cache is ``cache``."""
    models = torchvision_models()
    modules = {
        "timm": timm(),
        "torchvision": _module("torchvision", models=models),
        "torchvision.models": models,
        "transformers": transformers(),
        "huggingface_hub": huggingface_hub(cache),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(__import__("sys").modules, name, module)
        yield
