"""Certificates as an axis of a run: from the config to table, page and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet
from torch import Tensor, nn
from toy_images import write_images

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.corruptions.identity import Identity
from clearsight.defend.certify.randomized_smoothing import RandomizedSmoothing
from clearsight.pipelines.analysis.certified import radii_of
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.api import evaluate
from clearsight.pipelines.evaluation.plan import Plan, prepare
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.report.page import renew_report
from clearsight.pipelines.runs.grid import make_grid

Make = Callable[..., Evaluate]
RS: dict[str, Any] = {"kind": "randomized_smoothing", "sigma": 0.2, "n0": 10, "n": 50, "batch": 32}
L2 = {"kind": "pgd", "norm": "l2", "eps": 0.1, "steps": 1, "eot": 2}
CLEAN = {"conditions": {"clean": {"kind": "identity"}}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluate, Path]:
    """A config and its finished run, made once."""
    root = tmp_path_factory.mktemp("certify")
    images = write_images(root / "images", 30, (20, 24), ("blue", "green", "red"), digits=3)
    dual = RS | {"kind": "dual_randomized_smoothing", "images": 10}
    config = Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "toy",
            "chunk": 8,
            "data": {"kind": "folder", "path": str(images)},
            "parts": {
                "median": {"kind": "median"},
                "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
            },
            "systems": {"plain": ["classify"], "restored": ["median", "classify"]},
            **CLEAN,
            "attacks": {"l2": L2},
            "certify": {"rs": RS | {"images": 7, "attacked_by": ["l2"]}, "dual": dual},
            "measure": [{"conditions": ["clean"], "certify": ["rs", "dual"]}],
            "images": 0,
        }
    )
    return config, run(config, root=root / "runs", workers=1).path


@pytest.fixture
def config(shared: tuple[Evaluate, Path]) -> Evaluate:
    return shared[0]


@pytest.fixture
def finished(shared: tuple[Evaluate, Path], tmp_path: Path) -> Path:
    """A copy of the run, that a test may damage."""
    return Path(shutil.copytree(shared[1].parent, tmp_path / "runs")) / shared[1].name


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


@pytest.mark.slow
def test_the_rows_and_the_summary_agree(finished: Path) -> None:
    rows = parquet.read_table(finished / "certificates.parquet").to_pylist()
    summary = told(finished)
    assert [c["name"] for c in summary["certificates"]] == ["rs", "dual"]
    assert summary["certificates"][0]["noise"] == 0.2
    assert [(c["system"], c["certificate"], c["n"]) for c in summary["certified"]] == [
        ("plain", "rs", 7),
        ("restored", "rs", 7),
        ("plain", "dual", 10),
        ("restored", "dual", 10),
    ]
    for cell in summary["certified"]:
        mine = [r for r in rows if (r["system"], r["certificate"]) == (cell["system"], cell["certificate"])]
        right = np.array([r["prediction"] == r["label"] for r in mine])
        radius = np.array([r["radius"] for r in mine])
        for share in cell["shares"]:
            wanted = (right & (radius >= share["radius"] - 1e-9)).mean()
            assert share["value"] == pytest.approx(wanted)
            assert share["low"] <= share["value"] <= share["high"]
        assert cell["average_radius"]["value"] == pytest.approx((right * radius).mean())
        assert cell["abstained"]["value"] == pytest.approx(np.mean([r["prediction"] == -1 for r in mine]))
        assert [upper["radius"] for upper in cell["upper"]] == (
            [0, 0.1] if cell["certificate"] == "rs" else [0]
        )
        assert all(upper["contradicted"] == 0 for upper in cell["upper"])
        at = {share["radius"]: share["value"] for share in cell["shares"]}
        assert all(at[upper["radius"]] <= upper["value"] for upper in cell["upper"])
        assert cell["ms_per_image"]["value"] > 0
        assert cell["samples"] == (60 if cell["certificate"] == "rs" else 120)
    with (finished / "certificates.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(cell["shares"]) for cell in summary["certified"])


def test_the_chosen_images_are_spread_over_the_set(finished: Path) -> None:
    rows = parquet.read_table(finished / "certificates.parquet").to_pylist()
    results = parquet.read_table(finished / "results.parquet").to_pylist()
    every = [r["id"] for r in results if (r["system"], r["attack"]) == ("plain", "none")]
    some = [r["id"] for r in rows if (r["system"], r["certificate"]) == ("plain", "rs")]
    assert some == [every[i * 30 // 7] for i in range(7)]
    assert len({name.split("/")[0] for name in some}) == 3


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_equal(config: Evaluate, finished: Path, tmp_path: Path) -> None:
    before = (finished / "certificates.parquet").read_bytes()
    cells = [cell["key"] for cell in json.loads((finished / "resolved.json").read_text())["certified"]]
    folder = RunFolder(finished)
    folder.chunk(cells[0], 1).unlink()
    damaged = folder.chunk(cells[3], 0)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    for name in ("certificates.parquet", "summary.json", "DONE"):
        (finished / name).unlink()
    kept = folder.chunk(cells[1], 0)
    when = kept.stat().st_mtime_ns
    again = run(config, root=tmp_path / "runs", workers=1).path
    assert again == finished
    assert (again / "certificates.parquet").read_bytes() == before
    assert kept.stat().st_mtime_ns == when


@pytest.mark.slow
def test_order_and_processes_change_nothing(
    config: Evaluate, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (finished / "certificates.parquet").read_bytes()
    two = run(config, root=tmp_path / "two", workers=2).path
    assert (two / "certificates.parquet").read_bytes() == before
    forward = Plan.missing
    monkeypatch.setattr(Plan, "missing", lambda plan: forward(plan)[::-1])
    backward = run(config, root=tmp_path / "back", workers=1).path
    assert (backward / "certificates.parquet").read_bytes() == before


def test_a_changed_certificate_is_another_cell_and_a_metric_is_not(config: Evaluate, tmp_path: Path) -> None:
    def keys(changed: Evaluate) -> list[str]:
        plan = prepare(changed, root=tmp_path / "runs", device="cpu")
        return [cell.key for cell in plan.certified]

    before = keys(config)
    assert keys(config.model_copy(update={"metrics": None, "title": "x"})) == before
    rs = config.certify["rs"].model_copy(update={"n": 60})
    after = keys(config.model_copy(update={"certify": config.certify | {"rs": rs}}))
    assert [a == b for a, b in zip(after, before, strict=True)] == [False, False, True, True]


def test_page_and_markdown_show_the_bounds(finished: Path) -> None:
    page = renew_report(finished).read_text(encoding="utf-8")
    assert 'id="certified"' in page
    assert "certified accuracy against radius" in page
    assert "at most" in page
    assert "randomized_smoothing, sigma 0.2, n0 10, n 50, alpha 0.001" in page
    text = markdown(told(finished))
    (row,) = [
        line
        for line in text.splitlines()
        if line.startswith("| certified, system | L2 0 | ") and "0.1" in line
    ][:1]
    assert row.endswith("| mean radius | abstains | samples | ms an image |")
    assert "| plain | 100.0 [64.6, 100.0] ≤ 100.0 | " in text


def test_runs_without_certificates_keep_their_keys(make_config: Make) -> None:
    config = make_config()
    assert "certify" not in config.identity()
    blocks = make_config(measure=[{"conditions": ["clean"]}]).identity()["measure"]
    assert "certify" not in blocks[0]


@pytest.mark.parametrize(
    ("norm", "largest", "wanted"),
    [
        ("l2", 0.95, [0.0, 0.25, 0.5, 0.75]),
        ("l2", 0.48, [0.0, 0.1, 0.2, 0.3, 0.4]),
        ("l2", 3.8, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]),
        ("linf", 8 / 255, [0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255]),
    ],
)
def test_radii_of_a_table_are_round(norm: str, largest: float, wanted: list[float]) -> None:
    assert radii_of(norm, largest) == pytest.approx(wanted)


@pytest.mark.slow
def test_python_certifies_too(shared: tuple[Evaluate, Path], tmp_path: Path) -> None:
    certificate = RandomizedSmoothing(**{k: v for k, v in RS.items() if k != "kind"}, images=3)
    report = evaluate(
        shared[0].data,
        {"plain": shared[0].parts["classify"]},
        conditions={"clean": Identity()},
        certify={"rs": certificate},
        root=tmp_path / "runs",
        workers=1,
    )
    (cell,) = report.summary["certified"]
    assert cell["n"] == 3
    assert "certified: rs, clean" in report.table()


# What is refused, in one line


PARTS = {
    "denoise": {"kind": "unet_denoiser", "weights": "denoise-color-v2"},
    "smooth": {"kind": "total_variation"},
    "shake": {"kind": "random_resize"},
    "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
    "adapted": {
        "kind": "adapted",
        "classifier": {"kind": "small_convnet", "weights": "signs-standard-v1"},
    },
}


def grid(make_config: Make, system: list[str], **certificate: Any) -> Any:
    return make_grid(
        make_config(
            **CLEAN, parts=PARTS, systems={"it": system}, certify={"rs": RS | certificate}, compare=None
        )
    )


def test_parts_that_take_the_noise_are_told_it(make_config: Make) -> None:
    made = grid(make_config, ["denoise", "smooth", "classify"], sigma=0.15)
    told = made.certifiable("it", "rs").parts
    assert [told[name].sigma for name in ("denoise", "smooth")] == [0.15, 0.15]
    assert told["denoise"].weights == "denoise-color-v2"
    assert made.graphs["it"].parts["denoise"].sigma == "auto"


@pytest.mark.parametrize(
    ("system", "fields", "words"),
    [
        (
            ["denoise", "classify"],
            {"sigma": 0.25},
            r"certificate 'rs' of system 'it': part 'denoise' was trained for noise up to sigma 0\.2157, not 0\.25; smooth",
        ),
        (
            ["smooth", "classify"],
            {"sigma": 1.5},
            r"part 'smooth' does not take sigma 1\.5: Input should be less than",
        ),
        (["shake", "classify"], {}, r"part 'shake' \(random_resize\) draws random numbers besides"),
        (["adapted"], {}, r"part 'adapted' \(adapted\) answers by the images of its batch"),
        (["smooth"], {}, r"it gives images, not logits: there is no class to certify"),
    ],
)
def test_what_cannot_be_certified_is_refused(
    make_config: Make, system: list[str], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as told:
        grid(make_config, system, **fields)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"measure": [{"conditions": ["clean"]}]},
            r"measure: the certificate 'rs' is measured nowhere; add 'certify: \[rs\]'",
        ),
        (
            {"measure": [{"conditions": ["clean"], "certify": ["sr"]}]},
            r"no certificate 'sr'; known: rs",
        ),
        ({"stop": {"half_width": 1.0}}, r"stop: certificates are made of a fixed number of images"),
        ({"certify": {"rs": RS | {"attacked_by": ["pgd"]}}}, r"certify\.rs\.attacked_by: no attack 'pgd'"),
        (
            {"certify": {"rs": RS | {"attacked_by": ["inf"]}}, "attacks": {"inf": {"kind": "fgsm"}}},
            r"the attack 'inf' does not keep to a ball of the certificate's norm \(l2\)",
        ),
        ({"certify": {"rs": {"kind": "randomised_smoothing"}}}, r"randomized_smoothing"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    make_config: Make, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_config(**(CLEAN | {"certify": {"rs": RS}} | changes))


def test_a_certificate_without_a_measurement_is_refused(make_config: Make) -> None:
    config = make_config(
        certify={"rs": RS},
        measure=[{"conditions": ["clean"], "attacks": [], "certify": ["rs"]}, {"conditions": ["noise"]}],
    )
    with pytest.raises(ConfigError, match=r"'plain' under 'clean' is certified but not measured"):
        make_grid(config)


class Secretive(nn.Module):
    """Says that it looks at images alone, and looks at the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) - x.mean((0, 2, 3))


def secretive() -> nn.Module:
    return Secretive()


def test_a_system_that_is_caught_looking_at_its_batch_is_refused(make_config: Make, tmp_path: Path) -> None:
    parts = {"classify": {"kind": "python", "call": "test_certify:secretive", "classes": 3}}
    config = make_config(**CLEAN, parts=parts, systems={"it": ["classify"]}, certify={"rs": RS}, compare=None)
    with pytest.raises(ConfigError, match=r"system 'it' gives an image other outputs in company than alone"):
        run(config, root=tmp_path / "runs", workers=1)


def test_unlabelled_images_are_refused(make_config: Make, tmp_path: Path, images: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(images.rglob("*.png"))[:4]):
        (flat / f"{number}.png").write_bytes(path.read_bytes())
    config = make_config(**CLEAN, data={"kind": "files", "path": str(flat)}, certify={"rs": RS})
    with pytest.raises(ConfigError, match=r"certify: a certificate needs labelled images"):
        run(config, root=tmp_path / "runs", workers=1)


@pytest.mark.slow
def test_attack_and_certificate_meet_on_a_linear_classifier(make_config: Make, tmp_path: Path) -> None:
    # The attacked smoothed system is never right less often than what is certified, image by image.
    attacks = {f"l2-{eps}": L2 | {"eps": eps, "steps": 4} for eps in (0.5, 4.0)}
    config = make_config(
        **CLEAN,
        attacks=attacks,
        systems={"plain": ["classify"]},
        compare=None,
        certify={"rs": RS | {"sigma": 0.5, "attacked_by": list(attacks)}},
    )
    folder = run(config, root=tmp_path / "runs", workers=1).path
    (cell,) = told(folder)["certified"]
    values = [upper["value"] for upper in cell["upper"]]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5
    assert all(upper["contradicted"] == 0 for upper in cell["upper"])
    assert torch.tensor([share["value"] for share in cell["shares"]]).diff().le(0).all()


def brightest_layers() -> nn.Module:
    """Return the brightest channel as a sequence of layers."""
    with torch.device("meta"):
        mixing, head = nn.Conv2d(3, 3, 1, bias=False), nn.Linear(3, 3, bias=False)
        made = nn.Sequential(mixing, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    made = made.to_empty(device="cpu")
    for tensor in made.state_dict().values():
        tensor.copy_(torch.eye(3).view(tensor.shape))
    return made


LAYERED = {"kind": "python", "call": "test_certify:brightest_layers", "classes": 3}
BOUNDS = {
    "box": {"kind": "ibp", "eps": 0.5, "halvings": 10},
    "lines": {"kind": "crown", "eps": 0.5, "images": 5},
}


@pytest.mark.slow
def test_bounds_of_layers_are_an_axis_too(make_config: Make, tmp_path: Path) -> None:
    config = make_config(
        **CLEAN,
        parts={"classify": LAYERED},
        systems={"plain": ["classify"]},
        attacks={"pgd": {"kind": "pgd", "eps": 0.2, "steps": 5}},
        certify=BOUNDS,
        compare=None,
    )
    folder = run(config, root=tmp_path / "runs", workers=1).path
    boxes, lines = told(folder)["certified"]
    # The attack of the run is the upper bound: of the same images, and of the same function.
    assert [upper["attack"] for upper in lines["upper"]] == ["no attack", "pgd"]
    assert all(upper["contradicted"] == 0 for cell in (boxes, lines) for upper in cell["upper"])
    assert boxes["n"] == 30
    assert lines["n"] == 5
    assert boxes["samples"] is None
    # Each half of the margin between the two brightest channels: the colours of the toy differ by half.
    rows = parquet.read_table(folder / "certificates.parquet").to_pylist()
    assert {row["prediction"] for row in rows if row["certificate"] == "box"} == {0, 1, 2}
    text = markdown(told(folder))
    assert "L∞ 8/255" in text
    assert "Certified, box, clean: ibp; 30 images." in text


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (
            ["smooth", "classify"],
            r"part 'smooth' \(total_variation\) cannot be bounded: only a classifier alone can",
        ),
        (
            ["signs"],
            r"certificate 'box' of system 'it': layer 'network' \(SmallConvNet\) cannot be bounded; it takes Conv2d",
        ),
    ],
)
def test_what_cannot_be_bounded_is_named(
    make_config: Make, tmp_path: Path, system: list[str], words: str
) -> None:
    parts = PARTS | {"signs": {"kind": "small_convnet", "classes": 3}, "classify": LAYERED}
    config = make_config(
        **CLEAN, parts=parts, systems={"it": system}, certify={"box": BOUNDS["box"]}, compare=None
    )
    with pytest.raises(ClearsightError, match=words):
        run(config, root=tmp_path / "runs", workers=1)
