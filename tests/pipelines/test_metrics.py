from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from scipy.signal import convolve2d
from torch import Tensor

from clearsight.data.contract.column import Column, Display
from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.pipelines.cli.catalogue import list_command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.registries import METRICS
from clearsight.pipelines.evaluation.measuring import measurements_of
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.metrics.accuracy import Accuracy
from clearsight.pipelines.metrics.base import MeanMetric, Measurement, Need
from clearsight.pipelines.metrics.ece import ECE
from clearsight.pipelines.metrics.gmsd import GMSD
from clearsight.pipelines.report.words import quantity
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.folder import RESERVED, row_schema
from clearsight.restore.quality.niqe import PATCH
from clearsight.restore.quality.psnr_ssim import WINDOW

Make = Callable[..., Evaluate]
HOUSE = Path(__file__).parents[2]
MEASURED = [entry for entry in METRICS if issubclass(entry, Measurement)]


def noise(seed: int, shape: tuple[int, ...] = (4, 3, 30, 40)) -> Tensor:
    return torch.rand(shape, generator=Rng(seed).at("images").torch())


def gmsd(restored: Tensor, reference: Tensor) -> list[float]:
    return GMSD().measure({"restored": restored, "reference": reference})["gmsd_out"].tolist()


def gmsd_in_numpy(restored: NDArray[Any], reference: NDArray[Any]) -> float:
    """GMSD as the authors' MATLAB code computes it, of two images (h, w) in 0 to 255, in float64."""
    prewitt = np.array([[1.0, 0.0, -1.0]] * 3) / 3.0
    lengths = []
    for image in (restored, reference):
        # MATLAB's 'same' begins one later than scipy's where the kernel is even.
        mean = convolve2d(image, np.full((2, 2), 0.25))[1:, 1:][: image.shape[0], : image.shape[1]]
        half = mean[::2, ::2]
        across, down = (convolve2d(half, kernel, mode="same") for kernel in (prewitt, prewitt.T))
        lengths.append(np.sqrt(across**2 + down**2))
    first, second = lengths
    return float(((2 * first * second + 170) / (first**2 + second**2 + 170)).std(ddof=1))


@pytest.mark.parametrize("size", [(6, 6), (30, 40), (31, 41)])
def test_gmsd_against_an_independent_implementation(size: tuple[int, int]) -> None:
    reference = noise(1, (4, 3, *size))
    restored = (reference + 0.2 * (noise(2, (4, 3, *size)) - 0.5)).clamp(0, 1)
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    expected = [
        gmsd_in_numpy(*(255.0 * (image.double().numpy() * weights).sum(0) for image in pair))
        for pair in zip(restored, reference, strict=True)
    ]
    assert min(expected) > 1e-4
    assert gmsd(restored, reference) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gmsd_of_equal_images_is_zero_and_grows_with_the_damage() -> None:
    reference, change = noise(1), noise(2) - 0.5
    assert gmsd(reference, reference) == [0.0] * 4
    light, strong = (gmsd(reference + amount * change, reference) for amount in (0.05, 0.5))
    assert all(0 < a < b for a, b in zip(light, strong, strict=True))


def test_gmsd_is_symmetric() -> None:
    first, second = noise(1), noise(2)
    assert gmsd(first, second) == pytest.approx(gmsd(second, first))


@pytest.mark.slow
def test_a_metric_with_a_new_column_is_one_file(make_config: Make, tmp_path: Path) -> None:
    named = [
        str(path.relative_to(HOUSE))
        for room in ("clearsight", "data", "restore", "defend", "pipelines")
        for path in (HOUSE / room).rglob("*.py")
        if "gmsd" in path.read_text(encoding="utf-8").lower()
    ]
    assert named == ["pipelines/metrics/gmsd.py"]
    plain = run(make_config(), root=tmp_path / "plain", workers=1).path
    folder = run(make_config(metrics=["accuracy", "psnr", "gmsd"]), root=tmp_path / "runs", workers=1).path
    rows = parquet.read_table(folder / "results.parquet")
    usual = parquet.read_table(plain / "results.parquet").column_names
    assert rows.column_names == [*usual, "gmsd_out"]
    summary = json.loads((folder / "summary.json").read_text())
    cells = {(cell["system"], cell["condition"]): cell["metrics"]["gmsd"] for cell in summary["cells"]}
    noisy = cells["restored", "gaussian_noise-5"]
    mine = [
        row["gmsd_out"]
        for row in rows.to_pylist()
        if (row["system"], row["condition"]) == ("restored", "gaussian_noise-5")
    ]
    assert noisy["value"] == pytest.approx(np.mean(mine), rel=1e-6)
    assert noisy["low"] < noisy["value"] < noisy["high"]
    assert cells["plain", "gaussian_noise-5"] is None
    page = (folder / "report.html").read_text()
    assert "GMSD" in page
    assert "likeness" not in page
    assert "lower is better" in page


def test_declared_columns_are_those_of_the_table() -> None:
    usual = row_schema()
    every = row_schema(column for entry in MEASURED for column in entry.columns)
    assert every.names[: len(usual.names)] == usual.names
    found = sorted(f"found_{name}" for name in ("boxes", "scores", "labels", "matched", "ignored"))
    assert every.names[len(usual.names) :] == [
        "class_of_truth",
        "class_probabilities",
        "covered",
        "energy",
        "entropy",
        *found,
        "gmsd_out",
        "logit_margin",
        "set_size",
        "suspicion",
        "true_labels",
    ]
    types = {"float32": "float", "bool": "bool", "int32": "int32", "int64": "int64"}
    types |= {f"list[{name}]": f"list<item: {types[name]}>" for name in ("float32", "int32")}
    for entry in MEASURED:
        for column in entry.columns:
            assert column.name not in RESERVED
            assert str(every.field(column.name).type) == types[column.dtype], column.name


def test_the_smallest_sides_are_those_of_the_formulas() -> None:
    smallest = {entry.model_fields["kind"].default: entry.minimum for entry in MEASURED}
    assert smallest["ssim"] == smallest["ssim_in"] == smallest["ssim_y"] == WINDOW
    assert smallest["niqe"] == PATCH
    gmsd(noise(1, (1, 3, 6, 6)), noise(2, (1, 3, 6, 6)))


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: entry.__name__)
def test_a_measurement_gives_what_it_declares(entry: type[Measurement]) -> None:
    size = (3, 3, entry.minimum, entry.minimum)
    labels = torch.tensor([0, 1, 2])
    seen: dict[Need, Tensor] = {
        "reference": noise(0, size),
        "corrupted": noise(1, size),
        "entered": noise(2, size),
        "restored": noise(3, size),
        "logits": noise(9, (3, 5)),
        "labels": labels,
        "votes": labels.flip(0),
        "sets": noise(9, (3, 5)) > 0.5,
        "suspicion": noise(10, (3,)),
        "detections": torch.tensor([[[1.0, 2, 3, 4, 0.5, 1], [0, 0, 0, 0, 0, -1]]]).expand(3, -1, -1),
        "boxes": torch.tensor([[[1.0, 2, 3, 4, 1, 0]]], dtype=torch.float64).expand(3, -1, -1),
    }
    columns = entry().measured(seen)
    assert list(columns) == [column.name for column in entry.columns]
    kinds = {
        "bool": bool,
        "float32": float,
        "int32": int,
        "int64": int,
        "list[float32]": list,
        "list[int32]": list,
    }
    for column in entry.columns:
        assert all(type(value) is kinds[column.dtype] for value in columns[column.name])
    for need in entry.needs:
        assert entry().measured({name: seen[name] for name in seen if name != need}) == {}


@pytest.mark.parametrize("entry", list(METRICS), ids=lambda entry: entry.__name__)
def test_every_metric_says_how_it_is_written(entry: Any) -> None:
    kind = entry.model_fields["kind"].default
    form = display_of(kind)
    assert form is entry.shown()
    assert form.label
    assert form.meaning
    assert quantity(0.5, kind)


def test_displays() -> None:
    assert quantity(0.123, "ece") == "12.3\u00a0%"
    assert quantity(0.12345, "gmsd") == "0.1235"
    assert display_of("brier").note == "squared error of the probabilities; lower is better"
    assert display_of("of_a_plug_in") == Display(label="of a plug in")


class Sided(Measurement):
    kind: Literal["sided"] = "sided"
    weight: float = 1.0
    columns: ClassVar[tuple[Column, ...]] = (Column(name="sided", label="Sided"),)
    needs: ClassVar[frozenset[Need]] = frozenset({"restored"})

    def measure(self, seen: Mapping[Need, Tensor]) -> Mapping[str, Tensor]:
        return {"another": seen["restored"].mean((1, 2, 3))}


class Margin(Sided):
    kind: Literal["margin"] = "margin"  # type: ignore[assignment]
    columns: ClassVar[tuple[Column, ...]] = (Column(name="margin", label="Margin"),)


class Twin(Sided):
    kind: Literal["twin"] = "twin"  # type: ignore[assignment]


class Reader(MeanMetric):
    kind: Literal["reader"] = "reader"
    columns: ClassVar[tuple[Column, ...]] = (Column(name="niqe_out", label="NIQE"),)


class Lost(MeanMetric):
    kind: Literal["lost"] = "lost"
    columns: ClassVar[tuple[Column, ...]] = (Column(name="nowhere", label="Lost"),)


def test_a_measurement_that_breaks_its_word_is_named() -> None:
    with pytest.raises(ShapeError, match="'another'.*one value for each of 4 images in sided"):
        Sided().measured({"restored": noise(1)})


def test_what_is_measured() -> None:
    def kinds(*metrics: Any) -> set[str]:
        return {str(getattr(each, "kind", "")) for each in measurements_of(metrics)}

    always = {entry.model_fields["kind"].default for entry in MEASURED if entry.always}
    assert always == {"accuracy", "majority_accuracy", "confidence", "brier", "nll", "psnr", "psnr_in"}
    assert kinds() == kinds(Accuracy(), ECE()) == always
    assert kinds(METRICS["ssim"]()) == always | {"ssim", "ssim_in"}
    assert kinds(Reader()) == always | {"niqe"}
    assert kinds(Sided(weight=2.0)) == always | {"sided"}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ((Sided(), Twin()), "metric 'twin' writes the column 'sided' of sided"),
        ((Margin(),), "metric 'margin' writes the column 'margin' of the run itself"),
        ((Sided(), Sided(weight=2.0)), "'sided' is there twice with other fields"),
        ((Lost(),), "metric 'lost' reads 'nowhere', which nothing measures"),
    ],
)
def test_columns_that_clash_are_refused(metrics: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        measurements_of(metrics)


def test_the_list_of_metrics_shows_unit_and_direction(capsys: pytest.CaptureFixture[str]) -> None:
    list_command("metrics")
    rows = {
        line.split()[0]: line.split()[-2:] for line in capsys.readouterr().out.splitlines() if line.strip()
    }
    assert rows["psnr"] == ["dB", "higher"]
    assert rows["nll"] == ["nats", "lower"]
