"""Classifiers in ONNX files: parity with the network they came from, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_onnx import CLASSES, KERNEL, tiny
from torch import nn

from clearsight.data.contract.errors import ConfigError, ShapeError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.defend.classifiers.onnx_file import OnnxFile


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=Rng(0).at("foreign").torch())


class Tiny(nn.Module):
    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.head, self.outputs = nn.Linear(3, 5), outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        logits = self.head(x.mean((2, 3)))
        return logits if self.outputs == 1 else (logits, logits.softmax(1))


def export(module: nn.Module, path: Path, x: torch.Tensor, *, dynamic: bool = True) -> Path:
    dims = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    torch.onnx.export(
        module.eval(),
        (x,),
        str(path),
        dynamo=True,
        external_data=False,
        verbose=False,
        dynamic_shapes=(dims,) if dynamic else None,
    )
    return path


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, nn.Module]]:
    folder = tmp_path_factory.mktemp("onnx")
    with torch.random.fork_rng(devices=[]):
        one, two = Tiny(), Tiny(2)
    x = images(2, 3, 8, 9)
    return {
        "free": (export(one, folder / "free.onnx", x), one),
        "fixed": (export(one, folder / "fixed.onnx", x, dynamic=False), one),
        "two": (export(two, folder / "two.onnx", x), two),
    }


@pytest.mark.slow
def test_onnx_gives_the_logits_of_the_network(onnx_files: dict[str, tuple[Path, nn.Module]]) -> None:
    path, module = onnx_files["free"]
    model = OnnxFile(path=str(path)).build()
    assert model.classes == 5
    assert model.network.provider == "CPUExecutionProvider"
    for x in (images(1, 3, 8, 9), images(4, 3, 17, 11)):
        torch.testing.assert_close(model(x), module(x).detach())
        assert not model(x.requires_grad_()).requires_grad


@pytest.mark.slow
def test_onnx_normalises_when_told(onnx_files: dict[str, tuple[Path, nn.Module]]) -> None:
    path, module = onnx_files["free"]
    x = images(2, 3, 8, 9)
    model = OnnxFile(path=str(path), mean=(0.5,) * 3, std=(0.5,) * 3).build()
    torch.testing.assert_close(model(x), module((x - 0.5) / 0.5).detach())


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.slow
def test_onnx_of_fixed_size_takes_any_number_of_images(
    onnx_files: dict[str, tuple[Path, nn.Module]], n: int
) -> None:
    path, module = onnx_files["fixed"]
    model = OnnxFile(path=str(path)).build()
    x = images(n, 3, 8, 9)
    torch.testing.assert_close(model(x), module(x).detach())
    with pytest.raises(ShapeError, match="takes 8x9 pixels, got 9x9"):
        model(images(n, 3, 9, 9))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_exported_file_tells_its_classes_and_its_form(tmp_path: Path, dtype: str, layout: str) -> None:
    path = tiny(tmp_path / "x.onnx", gives=("image", "logits"), dtype=dtype, layout=layout, minimum=3)
    model = OnnxFile(path=str(path)).build()
    assert model.class_names == CLASSES
    x = images(3, 3, 8, 10)
    seen = (x * 255).round() / 255 if dtype == "uint8" else x
    blurred = nn.functional.conv2d(seen, torch.from_numpy(np.tile(KERNEL, (3, 1, 1, 1))), padding=1, groups=3)
    torch.testing.assert_close(model(x), 10 * blurred.mean((2, 3)), rtol=1e-5, atol=1e-5)
    with pytest.raises(ShapeError, match="from 3x3 pixels on"):
        model(images(1, 3, 2, 8))
    if dtype == "uint8":
        with pytest.raises(ConfigError, match="normalises them itself"):
            OnnxFile(path=str(path), mean=(0.5,) * 3).build()


def test_pipeline_for_grey_images_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes grey images"):
        OnnxFile(path=str(tiny(tmp_path / "grey.onnx", channels=1))).build()


def test_damaged_description_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path / "x.onnx", metadata={"clearsight": "{"})
    with pytest.raises(ConfigError, match="description is damaged"):
        OnnxFile(path=str(path)).build()


@pytest.mark.slow
def test_onnx_output_must_be_chosen(onnx_files: dict[str, tuple[Path, nn.Module]]) -> None:
    path, module = onnx_files["two"]
    with pytest.raises(ConfigError, match="several outputs"):
        OnnxFile(path=str(path)).build()
    with pytest.raises(ConfigError, match="no output 'x'"):
        OnnxFile(path=str(path), output="x").build()
    import onnx

    names = [item.name for item in onnx.load(str(path)).graph.output]
    x = images(2, 3, 8, 9)
    for name, wanted in zip(names, module(x), strict=True):
        torch.testing.assert_close(OnnxFile(path=str(path), output=name).build()(x), wanted.detach())


@pytest.mark.slow
def test_onnx_refuses_damaged_files(onnx_files: dict[str, tuple[Path, nn.Module]], tmp_path: Path) -> None:
    whole = onnx_files["free"][0].read_bytes()
    damaged = {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"not a model\n" * 9,
        "png": b"\x89PNG\r\n",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError) as caught:
            OnnxFile(path=str(tmp_path / name)).build()
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="no such file"):
        OnnxFile(path=str(tmp_path / "none.onnx")).fingerprint()


@pytest.mark.slow
def test_onnx_refuses_other_ranks_and_class_counts(
    onnx_files: dict[str, tuple[Path, nn.Module]], tmp_path: Path
) -> None:
    path = export(nn.Flatten(), tmp_path / "rank.onnx", images(2, 3, 8), dynamic=False)
    with pytest.raises(ConfigError, match=r"not images \(n, 3, h, w\) or \(n, h, w, 3\)"):
        OnnxFile(path=str(path)).build()
    path = export(nn.ReLU(), tmp_path / "image.onnx", images(2, 3, 8, 8), dynamic=False)
    with pytest.raises(ConfigError, match=r"not logits \(n, classes\)"):
        OnnxFile(path=str(path)).build()
    with pytest.raises(ConfigError, match="gives 5 classes, not 10"):
        OnnxFile(path=str(onnx_files["free"][0]), classes=10).build()
    with pytest.raises(ValidationError, match="weights"):
        OnnxFile(path="x.onnx", weights="y")


@pytest.mark.slow
def test_onnx_fingerprint_follows_content_not_place(
    onnx_files: dict[str, tuple[Path, nn.Module]], tmp_path: Path
) -> None:
    path = onnx_files["free"][0]
    (tmp_path / "moved.onnx").write_bytes(path.read_bytes())
    key = OnnxFile(path=str(path)).fingerprint()
    assert key == OnnxFile(path=str(tmp_path / "moved.onnx")).fingerprint()
    assert key != OnnxFile(path=str(onnx_files["fixed"][0])).fingerprint()
    assert key != OnnxFile(path=str(path), mean=(0.5,) * 3).fingerprint()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.slow
def test_onnx_says_that_the_device_is_not_there(onnx_files: dict[str, tuple[Path, nn.Module]]) -> None:
    with pytest.raises(ConfigError, match="CPUExecutionProvider, not CUDAExecutionProvider"):
        OnnxFile(path=str(onnx_files["free"][0]), device="cuda").build()
