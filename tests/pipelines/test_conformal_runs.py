"""Conformal sets in ``clearsight fit`` and ``clearsight run``: figures, promises, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.pipelines.cli.weights import headline
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.fitting.fit import Fitted, fit

LABELS = {"red": 0, "green": 1, "blue": 2}
TOY: dict[str, Any] = {"kind": "python", "call": "toy:brightest", "arguments": {"gain": 30.0}, "classes": 3}


def flat(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """Write images whose channels are nearly alike, so that labels and answers differ now and then."""
    draw = Rng(seed).at("flat").numpy()
    for i in range(count):
        image = np.full((16, 16, 3), 100.0) + draw.normal(0, 6, size=3)
        image[:, :, i % 3] += 8
        place = folder / tuple(LABELS)[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.round().astype(np.uint8)).save(place / f"{seed}_{i:03d}.png")
    return {"kind": "folder", "path": str(folder), "label_map": LABELS}


def fitted(tmp_path: Path, **changes: Any) -> Fitted:
    base: dict[str, Any] = {
        "task": "fit",
        "name": "sets",
        "data": flat(tmp_path / "fit", 1, 240),
        "judge": {"fraction": 0.3},
        "parts": {"median": {"kind": "median"}, "classify": TOY},
        "system": ["classify"],
        "estimator": {"kind": "conformal_aps", "randomised": True},
    }
    return fit(Fit.model_validate(base | changes), root=tmp_path / "runs", workers=1)


def measured(tmp_path: Path, done: Fitted, **changes: Any) -> Evaluate:
    part = {"kind": "conformal_aps", "weights": str(done.weights.folder)}
    base: dict[str, Any] = {
        "task": "evaluate",
        "name": "measured",
        "data": flat(tmp_path / "test", 2, 150),
        "parts": {"median": {"kind": "median"}, "classify": TOY, "sets": part},
        "systems": {"plain": ["classify"], "sure": ["classify", "sets"]},
        "conditions": {"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise", "severity": 5}},
        "images": 0,
    }
    return Evaluate.model_validate(base | changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted(tmp_path_factory.mktemp("conformal"))


@pytest.mark.slow
def test_the_card_says_what_was_promised_and_what_was_found(done: Fitted) -> None:
    card = json.loads((done.weights.folder / "card.json").read_text())
    assert card["spec"] == {
        "kind": "conformal_aps",
        "alpha": 0.1,
        "by_class": False,
        "each": 1,
        "randomised": True,
    }
    figures = card["figures"]["judge"]
    assert figures["promised"] == pytest.approx(0.9)
    # A threshold of 168 images, judged on 72: four standard errors.
    assert abs(figures["coverage"]["value"] - 0.9) < 4 * (0.09 / 168 + 0.09 / 72) ** 0.5
    assert "of sets hold the true class, of" in headline(figures)


@pytest.mark.slow
def test_coverage_and_size_are_figures_of_a_run(done: Fitted, tmp_path: Path) -> None:
    first = run(measured(tmp_path, done), root=tmp_path / "one", workers=1).path
    summary = json.loads((first / "summary.json").read_text())
    assert {"set_coverage", "set_size"} <= set(summary["metrics"])
    cells = {(cell["system"], cell["condition"]): cell["metrics"] for cell in summary["cells"]}
    assert cells["plain", "clean"]["set_size"] is None
    clean = cells["sure", "clean"]
    assert clean["accuracy"] == cells["plain", "clean"]["accuracy"]
    assert abs(clean["set_coverage"]["value"] - 0.9) < 4 * (0.09 / 168 + 0.09 / 150) ** 0.5
    assert clean["set_coverage"]["low"] < clean["set_coverage"]["value"] < clean["set_coverage"]["high"]
    assert 1.0 < clean["set_size"]["low"] < clean["set_size"]["value"] < 3.0
    rows = [
        row
        for row in parquet.read_table(first / "results.parquet").to_pylist()
        if (row["system"], row["condition"]) == ("sure", "clean")
    ]
    assert clean["set_coverage"]["value"] == pytest.approx(np.mean([row["covered"] for row in rows]))
    assert clean["set_size"]["value"] == pytest.approx(np.mean([row["set_size"] for row in rows]))
    assert any("hold 90 % of the true classes by promise only" in each for each in summary["warnings"])
    assert "under the condition noise nothing is promised" in " ".join(summary["warnings"])
    assert "Coverage of sets" in (first / "report.html").read_text()
    # Randomised sets are a function of seed and image: chunks and processes change nothing.
    again = run(measured(tmp_path, done), root=tmp_path / "two", workers=2).path
    assert (again / "results.parquet").read_bytes() == (first / "results.parquet").read_bytes()


@pytest.mark.slow
def test_a_promise_that_is_void_is_told(done: Fitted, tmp_path: Path) -> None:
    systems = {"moved": ["median", "classify", "sets"]}
    clean = {"clean": {"kind": "identity"}}
    config = measured(tmp_path, done, systems=systems, conditions=clean)
    told = json.loads((run(config, root=tmp_path, workers=1).path / "summary.json").read_text())["warnings"]
    assert any("were fitted in another system (image → classify)" in each for each in told)
    config = measured(tmp_path, done, systems={"sure": ["classify", "sets"]}, conditions=clean)
    told = json.loads((run(config, root=tmp_path, workers=1).path / "summary.json").read_text())["warnings"]
    assert not any("promise" in each for each in told)


def test_sets_stand_at_the_end(done: Fitted, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sets.*put it at the end"):
        measured(
            tmp_path,
            done,
            systems={
                "late": {
                    "a": {"use": "classify"},
                    "b": {"use": "sets", "of": "a"},
                    "out": {"use": "mean", "of": ["a", "b"]},
                }
            },
            parts={
                "classify": TOY,
                "sets": {"kind": "conformal_aps", "weights": str(done.weights.folder)},
                "mean": {"kind": "mean_logits"},
            },
        )


def test_metrics_of_sets_need_sets(make_config: Callable[..., Evaluate], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'set_coverage' needs covered.*a conformal part at its end"):
        run(make_config(metrics=["set_coverage"]), root=tmp_path, workers=1)
