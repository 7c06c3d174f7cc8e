"""Classifiers of timm, torchvision and transformers: what they take from the package, and that nothing is fetched."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import package_stubs
import pytest
import torch
from package_stubs import CLASSES, MEAN, NAMES, STD, Tiny
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.classifiers.huggingface import HuggingFaceClassifier
from clearsight.defend.classifiers.timm import TimmClassifier
from clearsight.defend.classifiers.torchvision import TorchvisionClassifier
from clearsight.defend.foreign import IMAGENET


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Both caches, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    with package_stubs.stubs(tmp_path):
        yield tmp_path


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=Rng(0).at("packaged").torch())


def expected(x: Tensor, mean: Any = MEAN, std: Any = STD) -> Tensor:
    """Return the logits of the stubs' pretrained weights."""
    network = Tiny(CLASSES)
    network.load_state_dict(package_stubs.state())
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
    with torch.no_grad():
        return network((x - mean) / std)


def test_fresh_networks_are_the_same_each_time_and_trainable() -> None:
    x = images(2, 3, 12, 12)
    for spec in (TimmClassifier(model="tiny", classes=4), TorchvisionClassifier(model="tiny", classes=4)):
        before = torch.default_generator.get_state()
        first, second = spec.build(), spec.build()
        assert torch.equal(before, torch.default_generator.get_state())
        assert first.classes == 4
        assert torch.equal(first(x), second(x))
        assert not spec.pretrained
        assert spec.trainable
        assert spec.fingerprint() == spec.fingerprint()


def test_what_is_left_out_is_the_packages() -> None:
    spec = TimmClassifier(model="tiny.v1").resolved()
    assert (spec.classes, spec.mean, spec.std, spec.class_names) == (CLASSES, MEAN, STD, ())
    other = TorchvisionClassifier(model="tiny").resolved()
    assert (other.classes, other.class_names) == (CLASSES, NAMES)
    assert (other.mean, other.std) == (IMAGENET["mean"], IMAGENET["std"])
    assert TimmClassifier(model="tiny", mean=(0.1,) * 3).resolved().mean == (0.1,) * 3
    assert TimmClassifier(model="tiny", statistics="imagenet").resolved().mean == IMAGENET["mean"]
    assert TorchvisionClassifier(model="tiny", classes=3).resolved().class_names == ()


def test_timm_takes_weights_from_the_hubs_cache_and_fetches_nothing(cache: Path) -> None:
    spec = TimmClassifier(model="tiny", checkpoint="cache")
    with pytest.raises(
        WeightsError, match="nothing is downloaded here; hf download owner/tiny model.safetensors"
    ):
        spec.ready()
    (cache / "owner" / "tiny").mkdir(parents=True)
    save_file(package_stubs.state(), cache / "owner" / "tiny" / "model.safetensors")
    spec.ready()
    x = images(2, 3, 12, 12)
    torch.testing.assert_close(spec.build()(x), expected(x))
    assert spec.pretrained
    assert spec.fingerprint() != TimmClassifier(model="tiny").fingerprint()


def test_torchvision_compares_the_checksum_in_the_name(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    file = cache / "weights.pth"
    torch.save(package_stubs.state(), file)
    name = f"tiny-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth"
    weights = sys.modules["torchvision.models"].get_model_weights("tiny").DEFAULT
    monkeypatch.setattr(weights, "url", f"https://example.org/models/{name}")
    spec = TorchvisionClassifier(model="tiny", checkpoint="cache")
    with pytest.raises(WeightsError, match=f"nothing is downloaded here; download https.*{name}"):
        spec.ready()
    place = cache / "torch" / "checkpoints" / name
    file.rename(place)
    x = images(2, 3, 12, 12)
    torch.testing.assert_close(spec.build()(x), expected(x, IMAGENET["mean"], IMAGENET["std"]))
    place.write_bytes(place.read_bytes() + b"0")
    with pytest.raises(WeightsError, match="sha256 differs from the one in its name"):
        spec.build()


def test_a_file_of_weights_and_some_of_its_classes(cache: Path) -> None:
    save_file(package_stubs.state(), cache / "mine.safetensors")
    spec = TorchvisionClassifier(model="tiny", checkpoint=str(cache / "mine.safetensors"), only=(5, 2))
    x, part = images(2, 3, 12, 12), spec.build()
    assert (part.classes, part.class_names) == (2, (NAMES[5], NAMES[2]))
    torch.testing.assert_close(part(x), expected(x, IMAGENET["mean"], IMAGENET["std"])[:, [5, 2]])
    with pytest.raises(WeightsError, match=r"mine.safetensors does not fit: .*'classes'"):
        TorchvisionClassifier(model="tiny", classes=3, checkpoint=str(cache / "mine.safetensors")).build()
    with pytest.raises(ConfigError, match="has no logit 9; fix 'only'"):
        TorchvisionClassifier(model="tiny", only=(1, 9)).build()(x)


def test_a_repository_says_classes_normalisation_and_size(cache: Path) -> None:
    folder = package_stubs.write_repo(cache / "repo", side=16)
    spec = CLASSIFIERS.parse({"kind": "huggingface", "repo": str(folder)})
    assert isinstance(spec, HuggingFaceClassifier)
    spec.ready()
    part = spec.build()
    assert (part.classes, part.class_names) == (CLASSES, NAMES)
    x = images(2, 3, 16, 16)
    torch.testing.assert_close(part(x), expected(x))
    larger = images(2, 3, 40, 24)
    shrunk = torch.nn.functional.interpolate(larger, size=(16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(part(larger), expected(shrunk))
    with pytest.raises(ConfigError, match="gives 7 classes, not 3"):
        HuggingFaceClassifier(model=str(folder), classes=3).build()
    fresh = HuggingFaceClassifier(model=str(folder), classes=3, checkpoint=None).build()
    assert fresh(x).shape == (2, 3)
    with pytest.raises(WeightsError, match="hf download owner/none, or give the folder"):
        HuggingFaceClassifier(model="owner/none").ready()


@pytest.mark.parametrize(
    ("kind", "fields", "match"),
    [
        ("timm", {"model": "tinny"}, "timm has no such network; did you mean 'tiny'"),
        ("torchvision", {"model": "tinny"}, "no such network; did you mean 'tiny'"),
        ("timm", {"model": "tiny", "checkpoint": "none.safetensors"}, "no such file.*fix 'checkpoint'"),
    ],
)
def test_what_is_not_there_is_named(kind: str, fields: dict[str, Any], match: str) -> None:
    with pytest.raises((ConfigError, WeightsError), match=match):
        CLASSIFIERS.parse({"kind": kind} | fields).ready()


def test_only_is_checked() -> None:
    with pytest.raises(ValidationError, match="a class twice"):
        TimmClassifier(model="tiny", only=(1, 1))
    with pytest.raises(ValidationError, match="leave it out"):
        TimmClassifier(model="tiny", only=(1, 2), classes=5)


@pytest.mark.parametrize(
    ("kind", "package"), [("timm", "timm"), ("torchvision", "torchvision"), ("huggingface", "transformers")]
)
def test_a_missing_package_is_named(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Undone before the stub is, which would come back otherwise and stay.
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError, match=rf"pip install clearsight\[{kind}\]"):
            CLASSIFIERS.parse({"kind": kind, "model": "tiny"}).ready()


def test_input_size_is_a_resize_inside_the_classifier() -> None:
    x = images(2, 3, 20, 30)
    spec = TimmClassifier(model="tiny", classes=4, input_size=(12, 8))
    plain = TimmClassifier(model="tiny", classes=4).build()
    small = torch.nn.functional.interpolate(x, size=(12, 8), mode="bilinear", antialias=True)
    torch.testing.assert_close(spec.build()(x), plain(small))
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(spec.build()(leaf).sum(), leaf)
    assert float((gradient == 0).float().mean()) < 0.01
    assert spec.key() != TimmClassifier(model="tiny", classes=4).key()
    # Fields at their defaults change no key.
    assert "input_size" not in TimmClassifier(model="tiny", classes=4).identity()
