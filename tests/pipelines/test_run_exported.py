"""An exported file is measured and attacked again like any other system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_images import write_images

from clearsight.data.contract.errors import AttackError, ConfigError
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.export.export import Options, export

TOY = Path(__file__).parent / "toy.py"
PARTS = {
    "sharpen": {"kind": "unsharp_mask"},
    "classify": {"kind": "python", "call": f"{TOY}:brightest", "classes": 3},
}
ATTACKS = {
    "none": {"kind": "none"},
    "square": {"kind": "square", "eps": 0.1, "queries": 20},
    "moved": {"kind": "pgd", "eps": 0.1, "steps": 5, "threat": "transfer", "source": "torch"},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"), 9, (16, 18))


def config(images: Path, file: Path, **changes: Any) -> Evaluate:
    base: dict[str, Any] = {
        "task": "evaluate",
        "name": "again",
        "data": {"kind": "folder", "path": str(images)},
        "parts": PARTS
        | {
            "file": {"kind": "onnx", "path": str(file)},
            "restore": {"kind": "onnx_restorer", "path": str(file)},
        },
        "systems": {"torch": ["sharpen", "classify"], "file": ["file"], "half": ["restore", "classify"]},
        "conditions": {"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise", "severity": 1}},
        "attacks": ATTACKS,
        "measure": [{"conditions": ["clean", "noise"], "attacks": list(ATTACKS)}],
        "metrics": ["accuracy", "nll"],
        "images": 0,
    }
    return Evaluate.model_validate(base | changes)


@pytest.fixture(scope="module")
def file(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sharpening and the classifier in one file, with the restored image as an output."""
    folder = tmp_path_factory.mktemp("deploy")
    graph = config(images, folder).graphs()["torch"]
    return export(graph, folder, name="torch", options=Options(taps=("sharpen",))).path


def figures(folder: Path) -> dict[tuple[str, ...], float]:
    cells = json.loads((folder / "summary.json").read_text())["cells"]
    return {
        (c["condition"], c["attack"], metric, c["system"]): float(found["value"])
        for c in cells
        for metric, found in c["metrics"].items()
    }


@pytest.mark.slow
def test_file_gives_the_figures_of_its_system(images: Path, file: Path, tmp_path: Path) -> None:
    found = figures(run(config(images, file), root=tmp_path, workers=1).path)
    for condition in ("clean", "noise"):
        for attack in ATTACKS:
            for metric in ("accuracy", "nll"):
                wanted = found[condition, attack, metric, "torch"]
                for system in ("file", "half"):
                    assert found[condition, attack, metric, system] == pytest.approx(wanted, abs=1e-5)
        # The attacks did something, on the file itself and carried over.
        for attack in ("square", "moved"):
            assert found[condition, attack, "nll", "file"] > found[condition, "none", "nll", "file"] + 0.01


@pytest.mark.slow
def test_attack_that_needs_gradients_is_refused(images: Path, file: Path, tmp_path: Path) -> None:
    asked = config(
        images,
        file,
        attacks={"none": {"kind": "none"}, "pgd": {"kind": "pgd", "eps": 0.1}},
        measure=[{"conditions": ["clean"], "attacks": ["pgd"]}],
    )
    with pytest.raises(AttackError, match="threat: transfer") as error:
        run(asked, root=tmp_path, workers=1)
    assert "file" in str(error.value)


@pytest.mark.slow
def test_another_number_of_classes_is_refused(images: Path, file: Path, tmp_path: Path) -> None:
    parts = PARTS | {"file": {"kind": "onnx", "path": str(file), "classes": 4}, "restore": PARTS["sharpen"]}
    with pytest.raises(ConfigError, match="gives 3 classes, not 4"):
        run(config(images, file, parts=parts), root=tmp_path, workers=1)


@pytest.mark.slow
def test_exported_file_is_not_exported_again(file: Path, tmp_path: Path, images: Path) -> None:
    graph = config(images, file).graphs()["half"]
    with pytest.raises(ConfigError, match="it already is an ONNX file"):
        export(graph, tmp_path, name="x")
    assert not list(tmp_path.iterdir())
