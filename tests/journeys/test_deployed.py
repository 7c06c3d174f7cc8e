"""Journey: a measured system becomes a file, the file classifies a folder, a server answers over HTTP: one answer."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from pages import done_by
from PIL import Image
from served import served

import clearsight
from clearsight.data.media.images import decode
from clearsight.data.sources.signs import Signs

CONFIG = """
task: evaluate
name: deployed
data: {kind: signs, split: test, count: 17}
parts:
  brighten: {kind: gamma, gamma: 0.8}
  classify: {kind: small_convnet, weights: signs-standard-v1}
systems: {restored: [brighten, classify]}
conditions: {clean: {kind: identity}}
"""


def answered(url: str, data: bytes) -> dict[str, Any]:
    with urlopen(Request(url, data=data), timeout=60) as response:
        told: dict[str, Any] = json.load(response)
    return told


@pytest.mark.slow
@pytest.mark.long
def test_the_file_and_the_server_say_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(CONFIG)
    done_by("run", "my.yaml", "--workers", "1", "--quiet")
    (folder,) = Path("runs").iterdir()
    measured = {row["id"]: row for row in clearsight.open_run(folder).rows().to_pylist()}
    # The same images as files, as a user has them.
    signs = Signs(split="test", count=17)
    files = {}
    for number, entry in enumerate(signs.index().entries):
        file = Path("photos") / f"{number:02d}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(signs.load(entry)).save(file)
        files[file.name] = measured[entry.id]
    done_by("export", "my.yaml", "-o", "deploy", "--taps", "brighten", "--quiet")
    assert sorted(path.name for path in Path("deploy").iterdir()) == [
        "manifest.json",
        "restored.onnx",
    ]
    done_by("infer", "deploy/restored.onnx", "photos", "--csv", "labels.csv", "-q", "--save-restored", "out")
    with Path("labels.csv").open(newline="") as table:
        inferred = {row["path"]: row for row in csv.DictReader(table)}
    names = signs.index().classes
    assert {name: row["label"] for name, row in inferred.items()} == {
        name: names[row["prediction"]] for name, row in files.items()
    }
    for name, row in files.items():
        assert float(inferred[name]["probability"]) == pytest.approx(row["confidence"], abs=2e-4)
    model = tmp_path / "deploy" / "restored.onnx"
    with served(model) as server:
        for name in ("00.png", "16.png"):
            body = (Path("photos") / name).read_bytes()
            told = answered(f"{server.url}/v1/predict?top=1&restored=true", body)
            (best,) = told["predictions"]
            assert best["label"] == inferred[name]["label"]
            assert best["probability"] == pytest.approx(float(inferred[name]["probability"]), abs=2e-4)
            restored = decode(base64.b64decode(told["restored"]), name=name)
            assert np.array_equal(restored, decode(Path("out") / name))
        assert server.stop() == 0
