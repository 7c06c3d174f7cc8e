from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from clearsight.data.contract.errors import ConfigError
from clearsight.defend.calibration_error import calibration_error
from clearsight.defend.uncertainty.risk_coverage import aurc_parts
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.metrics.aurc import AURC
from clearsight.pipelines.metrics.ece import ECE
from clearsight.pipelines.metrics.selective_accuracy import SelectiveAccuracy
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.runs.displays import display_of

Make = Callable[..., Evaluate]
ASKED = [
    "accuracy",
    "aurc",
    {"kind": "aurc", "score": "energy"},
    "excess_aurc",
    "selective_accuracy",
    {"kind": "selective_accuracy", "coverage": 0.8, "score": "logit_margin"},
    "ece",
    {"kind": "ece", "adaptive": True},
    "classwise_ece",
]


def test_names_of_variants() -> None:
    assert AURC().figure == "aurc"
    assert AURC(score="energy").figure == "aurc:energy"
    assert SelectiveAccuracy(coverage=0.8, score="entropy").figure == "selective_accuracy:0.8,entropy"
    assert ECE(adaptive=True, bins=10).figure == "ece:equal mass,10 bins"
    assert display_of("aurc:logit_margin").label == "AURC (logit margin)"
    assert display_of("aurc:logit_margin").unit == display_of("aurc").unit


@pytest.mark.slow
def test_a_run_reports_every_variant(make_config: Make, tmp_path: Path) -> None:
    folder = run(make_config(metrics=ASKED), root=tmp_path, workers=1).path
    summary = json.loads((folder / "summary.json").read_text())
    rows = parquet.read_table(folder / "results.parquet").to_pylist()
    figures = ["aurc", "aurc:energy", "excess_aurc", "selective_accuracy"]
    figures += ["selective_accuracy:0.8,logit_margin", "ece", "ece:equal mass", "classwise_ece"]
    assert summary["metrics"] == ["accuracy", *figures]
    for cell in summary["cells"]:
        mine = [r for r in rows if (r["system"], r["condition"]) == (cell["system"], cell["condition"])]
        wrong = np.array([not row["correct"] for row in mine], dtype=float)
        for name, sign, score in (("aurc", 1, "confidence"), ("aurc:energy", -1, "energy")):
            expected = aurc_parts([sign * row[score] for row in mine], wrong).mean()
            found = cell["metrics"][name]
            assert found["value"] == pytest.approx(expected, rel=1e-6)
            assert found["low"] <= found["value"] <= found["high"]
        table = np.array([row["class_probabilities"] for row in mine])
        truths = np.array([row["label"] for row in mine])
        errors = [calibration_error(table[:, k], truths == k) for k in range(table.shape[1])]
        found = cell["metrics"]["classwise_ece"]
        assert [found[end] for end in ("value", "low", "high")] == pytest.approx(
            np.mean(errors, axis=0), abs=1e-9
        )
        (curve,) = (
            each
            for each in summary["risk_curves"]
            if (each["system"], each["condition"]) == (cell["system"], cell["condition"])
        )
        assert curve["coverages"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
        assert curve["risks"][-1]["value"] == pytest.approx(wrong.mean())
        assert all(risk["low"] <= risk["value"] <= risk["high"] for risk in curve["risks"])
    # A mean over conditions is one of areas, not the area of all images together.
    group = next(each for each in summary["aggregates"] if each["system"] == "plain")
    cells = {
        c["condition"]: c["metrics"]["aurc"]["value"] for c in summary["cells"] if c["system"] == "plain"
    }
    corrupted = [v for name, v in cells.items() if name != "clean"]
    assert len(corrupted) == group["conditions"]
    assert group["metrics"]["aurc"]["value"] == pytest.approx(np.mean(corrupted), rel=1e-6)
    page = (folder / "report.html").read_text()
    assert "AURC (energy)" in page
    assert '<section id="risk">' in page
    assert "Selective accuracy (0.8, logit margin)" in page
    assert "AURC (energy), %; lower is better" in markdown(summary, ["aurc:energy"])


def test_two_metrics_of_one_name_are_refused(make_config: Make, tmp_path: Path) -> None:
    config = make_config(metrics=["accuracy", "ece", {"kind": "ece", "bins": 15, "adaptive": False}])
    run(config, root=tmp_path, workers=1)
    config = make_config(
        metrics=["aurc", *({"kind": "selective_accuracy", "coverage": c} for c in (0.8, 0.80000001))]
    )
    with pytest.raises(ConfigError, match="'selective_accuracy:0.8' is there twice with other fields"):
        run(config, root=tmp_path, workers=1)
