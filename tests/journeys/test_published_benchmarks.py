"""Journeys: ImageNet-C and CIFAR-10-C as they are downloaded, every type and severity in one config, to mCE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import done_by
from PIL import Image

import clearsight
from clearsight.data.benchmark.sets import ALEXNET_ERRORS, ALEXNET_SOURCE, IMAGENET_C_15
from clearsight.data.cifar import NAMES10

NET = """
import torch


class Bright(torch.nn.Module):
    # Two of many classes: 1 of images brighter than the threshold, else 0.
    def __init__(self, classes, threshold=0.5):
        super().__init__()
        self.classes, self.threshold = classes, threshold

    def forward(self, x):
        bright = 20 * (x.mean((1, 2, 3)) - self.threshold)
        rest = bright.new_full((len(x), self.classes - 2), -99)
        return torch.cat([torch.stack([-bright, bright], 1), rest], 1)
"""
CONFIG = """
task: evaluate
name: published
data: {data}
parts:
  net: {{kind: python, call: net.py:Bright, classes: {classes}, arguments: {{classes: {classes}}}}}
  shy: {{kind: python, call: net.py:Bright, classes: {classes}, arguments: {{classes: {classes}, threshold: 0.8}}}}
systems: {systems}
conditions:
  clean: {{kind: identity}}
  stored: {stored}
"""
BOTH = "{plain: [net], shy: [shy]}\ncompare: {baseline: shy}"
DARKENS = {kind: level for level, kind in enumerate(IMAGENET_C_15, 1)}


def shade(label: int, kind: str = "", severity: int = 0) -> int:
    """Return the grey level of an image: bright ones turn dark from one severity on, another for each type."""
    return 200 if label and severity <= DARKENS.get(kind, 9) % 6 else 60


def measured(data: str, stored: str, classes: int, systems: str) -> clearsight.Report:
    """Write the config, check it, run it."""
    Path("net.py").write_text(NET)
    Path("c.yaml").write_text(CONFIG.format(data=data, stored=stored, classes=classes, systems=systems))
    done_by("run", "c.yaml", "--workers", "1", "--quiet")
    (folder,) = Path("runs").iterdir()
    return clearsight.open_run(folder)


def means(report: clearsight.Report, metric: str) -> dict[str, dict[str, Any]]:
    """Return one metric over the stored conditions, by system."""
    return {
        str(row["system"]): row
        for row in report.means()
        if (row["group"], row["metric"]) == ("stored", metric)
    }


def error(kind: str) -> float:
    """Return the mean error over severities: half of the images are bright."""
    return float(np.mean([shade(1, kind, severity) < 128 for severity in range(1, 6)])) / 2


@pytest.mark.slow
@pytest.mark.long
def test_imagenet_c_is_divided_by_alexnets_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"n{number:08d}" for number in range(1000)]
    for name in names:
        (tmp_path / "val" / name).mkdir(parents=True)
    for label, name in enumerate(names[:2]):
        for i in range(4):
            file = f"ILSVRC2012_val_{label}{i}.JPEG"
            Image.new("RGB", (40, 28), (shade(label),) * 3).save(tmp_path / "val" / name / file)
            for kind in IMAGENET_C_15:
                for severity in range(1, 6):
                    place = tmp_path / "ImageNet-C" / kind / str(severity) / name
                    place.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (16, 16), (shade(label, kind, severity),) * 3).save(place / file)
    report = measured(
        "{kind: folder, path: val, size: 16, crop: 0.875}",
        "{on_disk: imagenet_c, path: ImageNet-C}",
        1000,
        "{plain: [net]}",
    )
    expected = np.mean([error(kind) / ALEXNET_ERRORS[kind] for kind in IMAGENET_C_15])
    mce = means(report, "mce")
    assert mce["plain"]["value"] == pytest.approx(expected)
    assert mce["plain"]["source"] == ALEXNET_SOURCE
    assert mce["plain"]["conditions"] == 75
    assert means(report, "accuracy")["plain"]["value"] == pytest.approx(
        1 - np.mean(list(map(error, IMAGENET_C_15)))
    )
    assert f"mCE {100 * expected:.1f} %" in capsys.readouterr().out


@pytest.mark.slow
def test_cifar_10_c_is_divided_by_the_baselines_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = [0, 1, 1, 0] * 10
    published = tmp_path / "cifar-10-batches-bin"
    published.mkdir()
    (published / "batches.meta.txt").write_text("\n".join(NAMES10) + "\n")
    rows = [bytes([label]) + bytes([shade(label)]) * 3072 for label in labels]
    (published / "test_batch.bin").write_bytes(b"".join(rows))
    stored = tmp_path / "CIFAR-10-C"
    stored.mkdir()
    np.save(stored / "labels.npy", np.tile(np.array(labels, np.uint8), 5))
    kinds = ("gaussian_noise", "fog")
    for kind in kinds:
        shades = [shade(label, kind, severity) for severity in range(1, 6) for label in labels]
        pixels = (
            np.zeros((len(shades), 32, 32, 3), np.uint8) + np.array(shades, np.uint8)[:, None, None, None]
        )
        np.save(stored / f"{kind}.npy", pixels)
    report = measured(
        "{kind: cifar10, path: .}",
        f"{{on_disk: cifar_c, path: CIFAR-10-C, corruptions: [{', '.join(kinds)}]}}",
        10,
        BOTH,
    )
    mce = means(report, "mce")
    assert mce["plain"]["value"] == pytest.approx(np.mean([error(kind) / 0.5 for kind in kinds]))
    assert mce["plain"]["source"] == "errors of system 'shy' on the same images"
    assert mce["shy"]["value"] == 1
    by_condition = {
        row["condition"]: row["value"]
        for row in report.results()
        if (row["system"], row["metric"]) == ("plain", "accuracy")
    }
    assert by_condition == {"clean": 1.0} | {
        f"{kind}-{severity}": 1.0 if shade(1, kind, severity) > 128 else 0.5
        for kind in kinds
        for severity in range(1, 6)
    }
