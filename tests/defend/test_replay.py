"""Adversarial images that a run kept, shown again to other systems."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from toy_images import write_images

from clearsight.data.contract.errors import AttackError, ConfigError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.defend.attacks.replay import Replay
from clearsight.defend.target import AttackBatch
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run

TOY = Path(__file__).parents[1] / "pipelines" / "toy.py"
CLASSIFY = {"kind": "python", "call": f"{TOY}:brightest", "classes": 3}


def onnx_brightest(path: Path) -> Path:
    """Write the toy classifier as an ONNX file."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "gain"], ["logits"]),
        ],
        "brightest",
        [helper.make_tensor_value_info("image", kinds.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, ["n", 3])],
        [helper.make_tensor("gain", kinds.FLOAT, [1], [4.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def config(images: Path, **changes: Any) -> Evaluate:
    base: dict[str, Any] = {
        "task": "evaluate",
        "name": "kept",
        "chunk": 4,
        "data": {"kind": "folder", "path": str(images)},
        "parts": {"classify": CLASSIFY, "median": {"kind": "median"}},
        "systems": {"plain": ["classify"]},
        "conditions": {"clean": {"kind": "identity"}},
        "attacks": {
            "none": {"kind": "none"},
            "pgd": {"kind": "pgd", "eps": 0.1, "steps": 5, "keep": True},
            "fgsm": {"kind": "fgsm"},
        },
        "measure": [{"conditions": ["clean"], "attacks": ["none", "pgd", "fgsm"]}],
        "images": 0,
    }
    return Evaluate.model_validate(base | changes)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine noisy images of three colours; the order of the folders is that of the toy's classes."""
    return write_images(tmp_path_factory.mktemp("images"), 9, (12, 14))


@pytest.fixture(scope="module")
def first(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that kept the images of PGD and not those of FGSM."""
    return run(config(images), root=tmp_path_factory.mktemp("runs"), workers=1).path


def cell_of(folder: Path, attack: str) -> Path:
    cells = json.loads((folder / "resolved.json").read_text())["cells"]
    (key,) = (cell["key"] for cell in cells if cell["attack"] == attack)
    return folder / "cells" / str(key)[:16]


def accuracies(folder: Path) -> dict[tuple[str, str], float]:
    cells = json.loads((folder / "summary.json").read_text())["cells"]
    return {(c["system"], c["attack"]): float(c["metrics"]["accuracy"]["value"]) for c in cells}


def kept(folder: Path) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for path in sorted(cell_of(folder, "pgd").glob("adversarial-*.safetensors")):
        out |= load_file(path)
    return out


@pytest.mark.slow
def test_replayed_on_other_systems_and_an_onnx_file(first: Path, images: Path, tmp_path: Path) -> None:
    attacks = {
        "none": {"kind": "none"},
        "again": {"kind": "replay", "path": str(first), "system": "plain", "attack": "pgd", "keep": True},
    }
    again = config(
        images,
        parts={
            "classify": CLASSIFY,
            "median": {"kind": "median"},
            "file": {"kind": "onnx", "path": str(onnx_brightest(tmp_path / "toy.onnx"))},
        },
        systems={"plain": ["classify"], "restored": ["median", "classify"], "exported": ["file"]},
        attacks=attacks,
        measure=[{"conditions": ["clean"], "attacks": list(attacks)}],
        chunk=5,
    )
    folder = run(again, root=tmp_path, workers=1)
    now, before = accuracies(folder.path), accuracies(first)
    assert before["plain", "none"] > before["plain", "pgd"]
    assert now["plain", "again"] == now["exported", "again"] == before["plain", "pgd"]
    assert now["exported", "none"] == before["plain", "none"]
    wanted = kept(first)
    assert len(wanted) == 9
    cells = json.loads((folder.path / "resolved.json").read_text())["cells"]
    for cell in cells:
        if cell["attack"] == "again":
            files = (folder.path / "cells" / cell["key"][:16]).glob("adversarial-*.safetensors")
            found = {name: image for path in files for name, image in load_file(path).items()}
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_key_hangs_on_the_images_alone(first: Path, tmp_path: Path) -> None:
    attack = Replay(path=str(first), system="plain", attack="pgd")
    moved = shutil.copytree(first, tmp_path / "moved")
    other = Replay(path=str(moved), system="plain", attack="pgd")
    assert other.key() == attack.key()
    assert "path" not in attack.identity()
    assert attack.model_copy(update={"keep": True}).key() != attack.key()
    file = sorted(cell_of(moved, "pgd").glob("adversarial-*.safetensors"))[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(RunError, match=f"{file.name}: is damaged"):
        other.key()


def test_relative_paths_are_looked_for(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(first.parent)
    Replay(path=first.name, system="plain", attack="pgd").ready()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"path": "nowhere"}, "replay 'nowhere': no such file or folder"),
        ({"path": "."}, "this is no run folder: it has no resolved.json"),
        ({"system": "plian"}, "system: no system 'plian' in that run; did you mean 'plain'"),
        (
            {"attack": "pdg"},
            "attack: no attack 'pdg' measured for system 'plain' in that run; did you mean 'pgd'",
        ),
        (
            {"condition": "fog"},
            "condition: no condition 'fog' measured for system 'plain', attack 'pgd' in that run; known: clean",
        ),
        (
            {"attack": "fgsm"},
            "kept no images of attack 'fgsm' .* write 'keep: true' in attack 'fgsm' there",
        ),
    ],
    ids=["folder", "no-run", "system", "attack", "condition", "kept"],
)
def test_what_is_not_there_is_named(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = {"path": str(first), "system": "plain", "attack": "pgd"} | fields
    attack = Replay.model_validate(told)
    with pytest.raises(ConfigError, match=words):
        attack.ready()
    with pytest.raises(ConfigError, match=words):
        attack.key()


def test_a_run_that_never_came_there(first: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(first, tmp_path / "moved")
    shutil.rmtree(cell_of(moved, "pgd"))
    with pytest.raises(ConfigError, match="kept no images of attack 'pgd'.*; finish that run first"):
        Replay(path=str(moved), system="plain", attack="pgd").ready()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": [{"key": "a"}]}', '{"cells": 3}'])
def test_a_damaged_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "resolved.json").write_text(content)
    with pytest.raises(RunError, match="resolved.json: damaged"):
        Replay(path=str(tmp_path), system="plain", attack="pgd").ready()


def shown(attack: Replay, ids: tuple[str, ...], *size: int) -> Tensor:
    n = len(ids)
    batch = AttackBatch(torch.zeros(n, *size), torch.zeros(n, dtype=torch.int64), ids, torch.arange(n))
    return attack(None, batch, Rng(0))


def test_images_come_by_id_and_missing_ones_are_named(first: Path, tmp_path: Path) -> None:
    attack, wanted = Replay(path=str(first), system="plain", attack="pgd"), kept(first)
    ids = tuple(sorted(wanted, reverse=True))
    found = shown(attack, ids, 3, 12, 14)
    assert torch.equal(found, torch.stack([wanted[name] for name in ids]))
    with pytest.raises(AttackError, match="no image of 'else/1' was kept"):
        shown(attack, (ids[0], "else/1"), 3, 12, 14)
    with pytest.raises(AttackError, match=r"does not fit: \(3, 12, 14\) to \(3, 8, 8\)"):
        shown(attack, ids[:1], 3, 8, 8)
    moved = shutil.copytree(first, tmp_path / "moved")
    sorted(cell_of(moved, "pgd").glob("adversarial-*"))[0].write_bytes(b"no tensors")
    with pytest.raises(RunError, match="adversarial-00000.safetensors: is damaged"):
        shown(Replay(path=str(moved), system="plain", attack="pgd"), ids, 3, 12, 14)
