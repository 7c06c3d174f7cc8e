"""What is wrong with a folder, what would help, and when to leave it alone: on toy images and a toy sense."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from sense_toy import sense_weights
from typer.testing import CliRunner

import clearsight
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.media.images import encode_png
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.pipelines.advice.advise import LEAVE, Advice
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.systems.graph import Node, wire
from clearsight.restore.sense_base import DAMAGE

TEXTURED = """
import torch
from torch import nn


class Textured(nn.Module):
    # Even images or striped ones, by how much neighbours differ: noise looks like stripes.
    def forward(self, x):
        rough = (x[..., 1:] - x[..., :-1]).abs().mean(dim=(1, 2, 3))
        return torch.stack([0.07 - rough, rough - 0.07], dim=1) * 100


class Bright(nn.Module):
    # Dark images or bright ones: noise does not matter.
    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1) * 100
"""
SIDE = 32


def image(striped: bool, noisy: bool, number: int) -> NDArray[np.uint8]:
    rng = Rng(number).at("advise").numpy()
    values = np.full((SIDE, SIDE, 3), 150.0)
    if striped:
        values[:, (np.arange(SIDE) // 4) % 2 == 0] = 60.0
    if noisy:
        values = values + rng.normal(0.0, 30.0, values.shape)
    return values.clip(0, 255).astype(np.uint8)


def folder(root: Path, *, noisy: float, labelled: bool = True, count: int = 40) -> Path:
    """Write images of two classes, so large a part of them noisy."""
    for number in range(count):
        striped = number % 2 == 1
        place = root / ("striped" if striped else "even") if labelled else root
        place.mkdir(parents=True, exist_ok=True)
        made = image(striped, number // 2 < noisy * count / 2, number)
        (place / f"{number:03d}.png").write_bytes(encode_png(made))
    return root


@pytest.fixture
def classifier(tmp_path: Path) -> PythonClassifier:
    return named(tmp_path, "Textured")


def named(root: Path, name: str) -> PythonClassifier:
    (root / "toys.py").write_text(TEXTURED)
    call = f"{root}/toys.py:{name}"
    return PythonClassifier(call=call, classes=2, class_names=("even", "striped"))


@pytest.fixture(scope="module")
def sense(tmp_path_factory: pytest.TempPathFactory) -> str:
    return sense_weights(tmp_path_factory.mktemp("sense"))


def advice(images: Path, classifier: PythonClassifier, sense: str, *chains: str) -> Advice:
    return clearsight.advise(images, classifier, restorers=chains or None, weights=sense, device="cpu")


def test_clean_images_are_left_alone(tmp_path: Path, classifier: PythonClassifier, sense: str) -> None:
    found = advice(folder(tmp_path / "clean", noisy=0.0), classifier, sense)
    assert found.verdict == LEAVE
    assert found.how == "nothing"
    assert found.images == 40
    assert not [each for each in found.damage if each.share]


def test_what_helps_is_advised_with_its_config(
    tmp_path: Path, classifier: PythonClassifier, sense: str
) -> None:
    found = advice(folder(tmp_path / "noisy", noisy=1.0), classifier, sense, "median", "gamma")
    assert [each.kind for each in found.damage if each.there] == ["noise"]
    assert found.how == "labels"
    assert found.alone == pytest.approx(0.5, abs=0.1)
    assert found.verdict == "use median"
    median, gamma = found.measured
    assert median.low > 0 >= gamma.low
    assert median.share > 0.9
    told = yaml.safe_load(found.config)
    assert told["systems"] == {"advised": ["restore_1", "classify"]}
    assert told["parts"]["restore_1"] == {"kind": "median"}


def test_a_mixed_folder_may_want_a_gate(tmp_path: Path, classifier: PythonClassifier, sense: str) -> None:
    found = advice(folder(tmp_path / "mixed", noisy=0.5), classifier, sense, "median")
    assert [each.name for each in found.measured] == ["median", "median, gated"]
    gated = found.measured[1]
    assert gated.helps
    assert gated.share > 0.9


def test_noise_that_does_not_matter_is_left_alone(tmp_path: Path, sense: str) -> None:
    images = folder(tmp_path / "noisy", noisy=1.0)
    bright = named(tmp_path, "Bright").model_copy(update={"class_names": ("even", "striped")})
    found = advice(images, bright, sense, "median")
    assert found.verdict == LEAVE
    assert "no chain clearly helps" in found.why
    assert found.measured


@pytest.mark.slow
def test_without_labels_the_undamaged_images_stand_in(
    tmp_path: Path, classifier: PythonClassifier, sense: str
) -> None:
    images = folder(tmp_path / "loose", noisy=0.5, labelled=False, count=120)
    found = advice(images, classifier, sense, "median")
    assert found.how == "agreement"
    assert found.verdict.startswith("use median")
    assert found.measured[0].helps


def test_without_labels_and_without_undamaged_images_nothing_is_measured(
    tmp_path: Path, classifier: PythonClassifier, sense: str
) -> None:
    images = folder(tmp_path / "loose", noisy=1.0, labelled=False)
    found = advice(images, classifier, sense, "median")
    assert found.how == "nothing"
    assert found.verdict == "try median"
    assert "too few to measure on" in found.why


def test_a_gated_system_can_be_pasted(tmp_path: Path, classifier: PythonClassifier, sense: str) -> None:
    from clearsight.pipelines.advice.proposals import candidates
    from clearsight.pipelines.config.registries import PARTS
    from clearsight.restore.senses.degradation import DegradationSense

    spec = DegradationSense(weights=sense)
    plain, gated = candidates(["noise"], 32.0, ["median,gamma"], sense=spec)
    assert (plain.gate, gated.name) == (None, "median,gamma, gated")
    told = yaml.safe_load(gated.config(classifier))
    parts = {name: PARTS.parse(node) for name, node in told["parts"].items()}
    nodes = told["systems"]["advised"]
    graph = wire(
        {
            name: Node(use=node["use"], of=node["of"] if isinstance(node["of"], str) else tuple(node["of"]))
            for name, node in nodes.items()
        },
        parts,
    )
    assert graph.fingerprint() == gated.graph(classifier).fingerprint()


def test_remedies_fit_the_damage_and_the_size() -> None:
    from clearsight.pipelines.advice.proposals import REMEDIES, candidates

    assert set(REMEDIES) == set(DAMAGE)
    large = [each.words for each in candidates(["blur", "noise"], 224.0, None, sense=None)]
    assert large == [
        "gentle_denoiser",
        "impulse_filter",
        "zoom_deblur,blind_plug_and_play,glass_smooth",
        "deblur",
        "gentle_denoiser,zoom_deblur,blind_plug_and_play,glass_smooth",
        "clarity",
    ]
    small = [each.words for each in candidates(["blur"], 64.0, None, sense=None)]
    assert small == ["deblur", "clarity-small"]
    general = {
        side: [each.words for each in candidates(["weather"], side, None, sense=None)]
        for side in (32.0, 64.0, 224.0)
    }
    assert general == {32.0: ["clarity-32px"], 64.0: ["clarity-small"], 224.0: ["auto_contrast", "clarity"]}
    assert not candidates([], 224.0, None, sense=None)


def test_other_classes_are_refused(tmp_path: Path, classifier: PythonClassifier, sense: str) -> None:
    images = folder(tmp_path / "noisy", noisy=1.0)
    other = classifier.model_copy(update={"class_names": ("cat", "dog")})
    with pytest.raises(ConfigError, match="trained on other classes"):
        advice(images, other, sense, "median")


def test_the_commands_print_and_write(tmp_path: Path, classifier: PythonClassifier, sense: str) -> None:
    images = folder(tmp_path / "mixed", noisy=0.25, count=8)
    (images / "even" / "broken.png").write_bytes(b"no image")
    table = tmp_path / "sense.csv"
    shown = CliRunner().invoke(
        app, ["sense", str(images), "--weights", sense, "--csv", str(table), "--device", "cpu", "-q"]
    )
    assert "noise: 2 of 8" in shown.stdout
    assert "nothing: 6 of 8" in shown.stdout
    assert "skipped even/broken.png" in shown.stdout
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["named"] for row in rows].count("noise") == 2
    assert float(rows[0]["noise_probability"]) > 0.5 > float(rows[-1]["noise_probability"])
    out = tmp_path / "advice.json"
    done = CliRunner().invoke(
        app,
        [
            *("advise", str(images), "--classifier", "signs-standard-v1", "--weights", sense),
            *("--out", str(out), "--device", "cpu", "-q"),
        ],
    )
    assert done.exit_code == 0, done.stdout
    assert LEAVE in done.stdout
    told = json.loads(out.read_text())
    assert told["verdict"] == LEAVE
    assert {each["kind"] for each in told["damage"]} == set(DAMAGE)
    assert [each["id"] for each in told["skipped"]] == ["even/broken.png"]
