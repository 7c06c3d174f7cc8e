"""Checkpoints that spandrel knows; tiny networks with drawn weights stand in for published ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.weights import digest
from clearsight.restore.catalogue import RESTORERS

needs_spandrel = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None or importlib.util.find_spec("einops") is None,
    reason="spandrel is not installed (pip install clearsight[spandrel])",
)


def compact(scale: int = 2, channels: int = 3) -> dict[str, Tensor]:
    """Return the state dict of a tiny Real-ESRGAN Compact: convolution, PReLU, twice, last convolution."""
    shapes = {
        "body.0.weight": (8, channels, 3, 3),
        "body.0.bias": (8,),
        "body.1.weight": (8,),
        "body.2.weight": (8, 8, 3, 3),
        "body.2.bias": (8,),
        "body.3.weight": (8,),
        "body.4.weight": (channels * scale**2, 8, 3, 3),
        "body.4.bias": (channels * scale**2,),
    }
    return {
        name: 0.1 * torch.randn(shape, generator=Rng(1).at(name).torch()) for name, shape in shapes.items()
    }


DNCNN_LAYERS = tuple(str(layer) for layer in range(0, 16, 2))


def dncnn(inputs: int = 1) -> dict[str, Tensor]:
    """Return the state dict of a narrow DnCNN; with two inputs, of one that is told the noise."""
    shapes = dict.fromkeys(DNCNN_LAYERS, (8, 8)) | {"0": (8, inputs), "14": (1, 8)}
    out = {}
    for layer, (outside, inside) in shapes.items():
        draw = Rng(2).at(layer).torch()
        out[f"model.{layer}.weight"] = 0.1 * torch.randn((outside, inside, 3, 3), generator=draw)
        out[f"model.{layer}.bias"] = torch.zeros(outside)
    return out


def saved(path: Path, tensors: dict[str, Tensor]) -> str:
    from safetensors.torch import save_file

    if path.suffix == ".pth":
        torch.save({"params_ema": tensors}, path)
    else:
        save_file(tensors, path)
    return str(path)


def parsed(path: str, **fields):
    return RESTORERS.parse({"kind": "spandrel", "path": path} | fields)


@needs_spandrel
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_checkpoint_becomes_a_restorer(tmp_path, no_global_rng, scale, suffix):
    spec = parsed(saved(tmp_path / f"net{suffix}", compact(scale)))
    spec.ready()
    part = spec.build()
    assert part.facts.scale == scale
    assert part.facts.channels == (3,)
    assert part.facts.receptive_field is None
    assert not part.network.training
    x = torch.rand(2, 3, 13, 18, generator=Rng(0).torch(), requires_grad=True)
    y = part(x)
    assert y.shape == (2, 3, 13 * scale, 18 * scale)
    assert y.dtype == torch.float32
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


@needs_spandrel
def test_output_is_the_networks_own(tmp_path):
    tensors = dncnn()
    part = parsed(saved(tmp_path / "net.safetensors", tensors)).build()
    x = torch.rand(1, 1, 12, 12, generator=Rng(0).torch())
    y = x
    for layer in DNCNN_LAYERS:
        weight, bias = tensors[f"model.{layer}.weight"], tensors[f"model.{layer}.bias"]
        y = torch.conv2d(y, weight, bias, padding=1)
        y = y if layer == "14" else y.relu()
    # DnCNN predicts the noise.
    with torch.no_grad():
        assert torch.allclose(part(x), (x - y).clamp(0, 1), atol=1e-6)


@needs_spandrel
def test_half_precision_files_run_in_single_precision_and_batches_where_spandrel_takes_one(tmp_path):
    halves = {name: value.half() for name, value in dncnn(inputs=2).items()}
    part = parsed(saved(tmp_path / "net.safetensors", halves)).build()
    x = torch.rand(3, 1, 16, 16, generator=Rng(0).torch())
    with torch.no_grad():
        assert torch.equal(part(x)[1:2], part(x[1:2]))
    assert part(x).dtype == torch.float32


@needs_spandrel
def test_two_builds_share_nothing(tmp_path):
    spec = parsed(saved(tmp_path / "net.safetensors", compact()))
    first, second = spec.build(), spec.build()
    first.double()
    assert all(value.dtype == torch.float32 for value in second.state_dict().values())


def test_fingerprint_is_the_content_not_the_place(tmp_path):
    one = parsed(saved(tmp_path / "one.safetensors", compact()))
    same = parsed(
        saved(tmp_path / "same.safetensors", compact()), sha256=digest(tmp_path / "same.safetensors")
    )
    other = parsed(saved(tmp_path / "other.safetensors", compact(scale=4)))
    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint() != other.fingerprint()


@needs_spandrel
def test_unknown_architectures_and_damaged_files_are_told_in_one_line(tmp_path):
    strange = saved(tmp_path / "strange.safetensors", {"some.weight": torch.zeros(3)})
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    (tmp_path / "broken.pth").write_bytes(b"no tensors")
    misfit = compact()
    del misfit["body.2.bias"]
    cases = {
        strange: "does not know this architecture",
        str(tmp_path / "broken.safetensors"): "cannot read it",
        str(tmp_path / "broken.pth"): "cannot read it",
        saved(tmp_path / "misfit.safetensors", misfit): "cannot build it",
        saved(tmp_path / "five.safetensors", compact(channels=5)): "5 channels",
    }
    for path, message in cases.items():
        with pytest.raises(WeightsError, match=message) as caught:
            parsed(path).ready()
        assert "\n" not in str(caught.value)


class Payload:
    """Would create a file if anything unpickled it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@needs_spandrel
def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"params": Payload(str(tmp_path / "run"))}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="more than tensors"):
        parsed(str(tmp_path / "evil.pth")).ready()
    assert not (tmp_path / "run").exists()


@needs_spandrel
def test_wrong_fields_are_refused(tmp_path):
    path = saved(tmp_path / "net.safetensors", compact())
    with pytest.raises(WeightsError, match="no such file"):
        parsed(str(tmp_path / "absent.safetensors")).ready()
    with pytest.raises(WeightsError, match="sha256 differs"):
        parsed(path, sha256="0" * 64).ready()
    (tmp_path / "net.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"is no \.safetensors or \.pth file"):
        parsed(str(tmp_path / "net.bin")).ready()
    with pytest.raises(ValidationError, match="leave 'weights' out"):
        parsed(path, weights="any")


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    path = saved(tmp_path / "net.safetensors", compact())
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ConfigError, match=r"clearsight\[spandrel\]"):
        parsed(path).ready()
    with pytest.raises(ConfigError, match=r"clearsight\[spandrel\]"):
        parsed(path).build()


@needs_spandrel
def test_torchvision_is_neither_needed_nor_faked_for_others(monkeypatch):
    # As if nothing had been imported yet and torchvision were not installed.
    for name in [name for name in sys.modules if name.split(".")[0] in ("spandrel", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "clearsight.restore.networks.spandrel.find_spec",
        lambda name: None if name == "torchvision" else find(name),
    )
    from clearsight.restore.networks.spandrel import library

    assert library().MAIN_REGISTRY
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]


@needs_spandrel
@pytest.mark.shared
def test_a_published_checkpoint_loads(shared_data, tmp_path):
    import tarfile

    with tarfile.open(shared_data / "peer_dncnn25.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    (path,) = tmp_path.glob("**/*.pth")
    part = parsed(str(path)).build()
    assert part.network.architecture == "DnCNN"
    clean = torch.full((1, 1, 64, 64), 0.5)
    noisy = clean + 25 / 255 * torch.randn(clean.shape, generator=Rng(0).torch())
    with torch.no_grad():
        assert (part(noisy) - clean).std() < 0.15 * (noisy - clean).std()
