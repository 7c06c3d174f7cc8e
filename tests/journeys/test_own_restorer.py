"""Journey: a restorer of one's own, from a function in a file to figures, an attack, files and ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pages import done_by, follow
from PIL import Image

import clearsight
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.restore.learned.python_restorer import PythonRestorer


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Follow the page in a folder with two photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i, (height, width) in enumerate([(40, 52), (33, 31)]):
        pixels = Rng(3).at("photo", i).numpy().integers(60, 120, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    follow("own.md", "A restorer")
    return tmp_path


@pytest.mark.slow
def test_own_restorers_are_measured_attacked_used_and_exported(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder,) = (written / "runs").iterdir()
    rows = {
        (row["system"], row["condition"], row["attack"]): float(row["value"])
        for row in clearsight.open_run(folder).results()
        if row["metric"] == "accuracy"
    }
    systems = ("plain", "stretched", "softened", "residual")
    assert rows.keys() == {
        (system, condition, attack)
        for system in systems
        for condition, attack in (("clean", "none"), ("fog", "none"), ("clean", "fgsm"))
    }
    assert all(rows[system, "clean", "fgsm"] <= rows[system, "clean", "none"] for system in systems)
    # The array goes by BPDA, the tensors by their own gradient.
    facts = clearsight.open_run(folder).summary["systems"]
    gradients = {part["name"]: part["gradient"] for system in facts for part in system["parts"]}
    assert gradients["stretch"] == "surrogate"
    assert gradients["soften"] == gradients["residual"] == "exact"

    for name in ("0.png", "1.png"):
        with Image.open(written / "photos" / name) as before, Image.open(written / "out" / name) as after:
            assert after.size == before.size
            assert np.asarray(after).max() > 200 > np.asarray(before).max()

    capsys.readouterr()
    with pytest.raises(ConfigError, match="kind python_restorer calls 'mine.py:stretch'"):
        clearsight.check("own.yaml", untrusted=True)


@pytest.mark.slow
def test_own_tensors_are_exported_and_own_arrays_say_why_not(written: Path) -> None:
    done_by("export", "own.yaml", "--system", "softened", "--out", "onnx")
    assert (written / "onnx" / "softened.onnx").is_file()
    classifier = clearsight.load("signs-standard-v1").spec
    array = PythonRestorer(call="mine.py:stretch", images="uint8")
    with pytest.raises(ConfigError, match="it runs on numpy arrays"):
        clearsight.export(clearsight.chain(array, classifier), written / "onnx", name="stretched")
