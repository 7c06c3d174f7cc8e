from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clearsight.data.contract.rng import Rng
from clearsight.data.media.images import to_float
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.inference.session import Session


@pytest.mark.slow
def test_an_exported_system_says_what_the_measured_one_says(tmp_path):
    app(
        ["export", "quickstart", "-o", str(tmp_path / "deploy"), "--system", "plain", "-q"],
        standalone_mode=False,
    )
    model = tmp_path / "deploy" / "plain.onnx"
    images = Rng(0).at("images").numpy().integers(0, 256, (7, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    for at, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{at}.png")
    call = [
        "infer",
        str(model),
        str(tmp_path / "in"),
        "--csv",
        str(tmp_path / "o.csv"),
        "-q",
        "--provider",
        "cpu",
    ]
    app(call, standalone_mode=False)
    _, config = read_evaluate(Path("quickstart"))
    system = config.graphs()["plain"].build().eval()
    with torch.inference_mode():
        logits = system(torch.from_numpy(to_float(images))).numpy()
    session = Session(model, "cpu", 1)
    assert np.abs(session.classify(images).logits - logits).max() < 1e-4
    with (tmp_path / "o.csv").open(newline="") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert labels == [session.deployed.classes[at] for at in logits.argmax(axis=1)]
