"""Restorers in ONNX files: the same images in every layout and type, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tiny_onnx import KERNEL, tiny

from clearsight.data.contract.errors import ConfigError, ShapeError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.restore.learned.onnx_restorer import OnnxRestorer


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=Rng(0).at("images").torch())


def blurred(x: torch.Tensor) -> torch.Tensor:
    kernel = torch.from_numpy(np.tile(KERNEL, (x.shape[1], 1, 1, 1)))
    return torch.nn.functional.conv2d(x, kernel, padding=1, groups=x.shape[1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_restores_whatever_the_file_takes(tmp_path: Path, dtype: str, layout: str, channels: int) -> None:
    path = tiny(
        tmp_path / "x.onnx", gives=("image",), dtype=dtype, layout=layout, channels=channels, minimum=5
    )
    model = OnnxRestorer(path=str(path)).build()
    assert (model.facts.scale, model.facts.channels, model.facts.minimum) == (1, (channels,), 5)
    assert model.facts.receptive_field is None
    # Small images are padded, as for any other restorer.
    for x in (images(2, channels, 9, 12), images(1, channels, 3, 7)):
        levels = (x * 255).round() / 255 if dtype == "uint8" else x
        if min(x.shape[2:]) >= 5:
            torch.testing.assert_close(
                model(x), blurred(levels), atol=1e-5 if levels is x else 0.6 / 255, rtol=0
            )
        assert model(x).shape == x.shape
    with pytest.raises(ShapeError):
        model(images(1, 4 - channels, 8, 8))


def test_file_with_logits_beside_gives_its_image(tmp_path: Path) -> None:
    path = tiny(tmp_path / "x.onnx", gives=("logits", "image"))
    x = images(2, 3, 8, 8)
    torch.testing.assert_close(OnnxRestorer(path=str(path)).build()(x), blurred(x))
    with pytest.raises(ConfigError, match="not images"):
        OnnxRestorer(path=str(tiny(tmp_path / "y.onnx", gives=("logits",)))).build()


def test_scale_of_a_foreign_file_is_found_by_trying(tmp_path: Path) -> None:
    def foreign(height: str | int, width: str | int, factors: tuple[float, float]) -> Path:
        scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, *factors])
        graph = helper.make_graph(
            [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")],
            "enlarge",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, height, width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "H", "W"])],
            [scales],
        )
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
        onnx.save(model, str(tmp_path / "enlarge.onnx"))
        return tmp_path / "enlarge.onnx"

    free = OnnxRestorer(path=str(foreign("h", "w", (3, 3)))).build()
    assert free.facts.scale == 3
    assert free(images(1, 3, 5, 6)).shape == (1, 3, 15, 18)
    fixed = OnnxRestorer(path=str(foreign(6, 8, (2, 2)))).build()
    assert fixed(images(3, 3, 6, 8)).shape == (3, 3, 12, 16)
    with pytest.raises(ShapeError, match="takes 6x8 pixels, got 8x8"):
        fixed(images(1, 3, 8, 8))
    for factors in ((2, 3), (0.5, 0.5)):
        with pytest.raises(ConfigError, match="not images enlarged by a whole number"):
            OnnxRestorer(path=str(foreign("h", "w", factors))).build()


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        OnnxRestorer(path=str(tmp_path / "none.onnx")).ready()
    whole = tiny(tmp_path / "x.onnx", gives=("image",)).read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="half.onnx"):
        OnnxRestorer(path=str(tmp_path / "half.onnx")).build()
