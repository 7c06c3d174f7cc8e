"""One folder with a fault of each kind, before every command that reads images: used, named, never fatal.

The kinds, each also tested by itself and with its siblings elsewhere: names that are not UTF-8
(`test_one_image`), names that steer a terminal or a spreadsheet (`test_foreign_words`), damaged images
(`test_train_skipped`, `test_run`), files that are passed over (`test_passed_over`), logits that are not finite
(`test_finite`).
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_onnx import tiny
from training_toy import recipe

from clearsight.data.contract.text import FORMULA
from clearsight.data.media.images import encode_png
from clearsight.pipelines.cli.app import main

CODE = """
import torch
from torch import nn


class Bright(nn.Module):
    # Dark images or bright ones.
    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1) * 100


class Divides(Bright):
    # Not finite for a black image.
    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return super().forward(x) + (mean / mean)[:, None] - 1
"""
EVALUATE = """
task: evaluate
name: every
data: {{kind: folder, path: {images}}}
parts:
  net: {{kind: python, call: "{code}:{name}", classes: 2}}
  median: {{kind: median}}
systems: {{plain: [net], median: [median, net]}}
conditions: {{clean: {{kind: identity}}}}
"""
TUNE = """
task: tune
name: every
data: {{kind: folder, path: {images}}}
classifier: {{kind: python, call: "{code}:{name}", classes: 2}}
restorers: {{median: {{kind: median}}}}
conditions: {{clean: {{kind: identity}}, noise: {{kind: impulse_noise}}}}
first: 10
finalists: 1
"""
COMMANDS = {
    "run": "run run.yaml --workers 1",
    "train": "train train.yaml --out trained",
    "corrupt": "corrupt images out --set contrast --severity 1 --workers 1",
    "restore": "restore images out --with median",
    "infer": "infer tiny.onnx images --provider cpu --csv rows.csv",
    "sense": "sense images --csv sensed.csv --device cpu",
    "advise": "advise images --classifier dark.onnx --restorers median --out advice.json --device cpu",
    "audit": "audit run.yaml --system plain --workers 1",
    "tune": "tune tune.yaml --workers 1",
}
SLOW = ("audit", "tune")
ALL = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in COMMANDS]
LATIN = os.fsdecode(b"caf\xe9.png")
ESCAPE = "e\x1b[31m.png"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two classes of images, a fault of each kind among them, and what the commands read."""
    for label, value in (("a", 60), ("b", 190)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(20):
            write(tmp_path / "images" / label / f"{number:02}.png", value + number)
    dark = tmp_path / "images" / "a"
    for name in (LATIN, ESCAPE, "=1+1.png"):
        write(dark / name, 90)
    (dark / "broken.png").write_bytes(encode_png(np.full((24, 24, 3), 90, np.uint8))[:50])
    (dark / "notes.txt").write_text("x")
    (dark / "link.png").symlink_to("nowhere.png")
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "train.yaml").write_text(recipe("folder", tmp_path / "images"))
    tiny(tmp_path / "tiny.onnx")
    configs(tmp_path, "Bright")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classifier(path: Path, name: str) -> None:
    """Write `Bright` or `Divides` as ONNX: logits of two classes from the mean of an image."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0, axes=[1, 2, 3]),
        helper.make_node("Div", ["mean", "mean"], ["one"]),
        helper.make_node("Mul", ["mean", "one" if name == "Divides" else "1"], ["kept"]),
        helper.make_node("Sub", ["kept", "half"], ["bright"]),
        helper.make_node("Neg", ["bright"], ["dark"]),
        helper.make_node("Unsqueeze", ["dark", "axis"], ["first"]),
        helper.make_node("Unsqueeze", ["bright", "axis"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["logits"], axis=1),
    ]
    constants = {"half": np.float32(0.5), "1": np.float32(1), "axis": np.array([1])}
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 13)])
    path.write_bytes(model.SerializeToString())


def write(path: Path, value: int) -> None:
    path.write_bytes(encode_png(np.full((24, 24, 3), value, np.uint8)))


def configs(home: Path, name: str) -> None:
    places = {"images": home / "images", "code": home / "code.py", "name": name}
    (home / "run.yaml").write_text(EVALUATE.format(**places))
    (home / "tune.yaml").write_text(TUNE.format(**places))
    classifier(home / "dark.onnx", name)


def command(name: str) -> int:
    with pytest.raises(SystemExit) as done:
        main([*COMMANDS[name].split(), "-q"])
    return int(done.value.code or 0)


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} in a file of results")


def computes(value: str) -> bool:
    """Return whether a spreadsheet would compute a cell: a negative number is none."""
    return (
        value.startswith(FORMULA[:-1]) and not value.lstrip("-").replace(".", "").replace("e-", "").isdigit()
    )


def results(home: Path, ending: str) -> Iterator[Path]:
    inputs = {home / "images", home / "run.yaml"}
    return (path for path in home.rglob(f"*{ending}") if path.parents[0] not in inputs)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
def test_faults_are_named_and_the_rest_is_done(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = command(name)
    said = "".join(capsys.readouterr())
    assert code in (0, 1), said
    lines = said.splitlines()
    told = [line for line in lines if "broken.png" in line]
    assert len(told) == 1, said
    assert told[0].startswith(("skipped ", "failed "))
    for passed in ("notes.txt", "link.png"):
        told = [line for line in lines if line.startswith("passed over ") and passed in line]
        assert len(told) == 1, said
    assert "\x1b[31m" not in said
    for path in results(home, ".json"):
        json.loads(path.read_bytes(), parse_constant=refuse)
    for path in results(home, ".csv"):
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.reader(file))
        assert not [value for row in rows for value in row if computes(value)]


NAMED_IN = {
    "run": "runs/*/results.parquet",
    "corrupt": "out/contrast/1/a/*",
    "restore": "out/a/*",
    "infer": "rows.csv",
    "sense": "sensed.csv",
}


@pytest.mark.parametrize("name", NAMED_IN)
def test_odd_names_are_used_and_come_back(name: str, home: Path) -> None:
    command(name)
    found = list(home.glob(NAMED_IN[name]))
    if name == "run":
        from pyarrow import parquet

        ids = set(parquet.read_table(found[0])["id"].to_pylist())
        assert {"a/caf\\xe9.png", "a/=1+1.png"} < ids
        assert len(ids) == 43
    elif name in ("corrupt", "restore"):
        assert len(found) == 23
    else:
        text = found[0].read_text(encoding="utf-8", errors="surrogateescape")
        assert "caf" in text
        assert len(text.splitlines()) == 44


@pytest.mark.parametrize("name", ["run", "advise", pytest.param("audit", marks=pytest.mark.slow), "tune"])
def test_an_image_with_logits_that_are_not_finite_ends_it_by_name(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(home / "images" / "b" / "05.png", 0)
    configs(home, "Divides")
    assert command(name) in (1, 2)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert "not finite" in said[0]
    assert "b/05.png" in said[0]
