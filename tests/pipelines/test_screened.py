"""Detectors of attacked images in a run: ROC, and the attack that knows the detector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run

ATTACK = {"eps": "4/255", "steps": 8}
CONFIG: dict[str, Any] = {
    "task": "evaluate",
    "name": "screened",
    "data": {"kind": "signs", "split": "test", "count": 34, "pixels": 32},
    "parts": {
        "classify": {"kind": "small_convnet", "weights": "signs-standard-v1"},
        "levels": {"kind": "bit_depth", "bits": 4},
        "median": {"kind": "median", "size": 3},
        "compare": {"kind": "feature_squeezing", "threshold": 0.5},
    },
    "systems": {
        "plain": ["classify"],
        "watched": {
            "out": {"use": "classify", "of": "image"},
            "fewer": {"use": "levels", "of": "image"},
            "soft": {"use": "median", "of": "image"},
            "out_fewer": {"use": "classify", "of": "fewer"},
            "out_soft": {"use": "classify", "of": "soft"},
            "watch": {"use": "compare", "of": ["out", "out_fewer", "out_soft"]},
        },
    },
    "conditions": {"clean": {"kind": "identity"}},
    "attacks": {
        "none": {"kind": "none"},
        "pgd": {"kind": "pgd", **ATTACK},
        "knows": {"kind": "detector_aware", **ATTACK},
    },
    "measure": [
        {"systems": ["plain"], "conditions": ["clean"], "attacks": ["none"]},
        {"systems": ["watched"], "conditions": ["clean"], "attacks": ["none", "pgd", "knows"]},
    ],
    "images": 0,
}


@pytest.mark.slow
def test_an_attack_that_knows_the_detector_evades_it(tmp_path: Path) -> None:
    folder = run(Evaluate.model_validate(CONFIG), root=tmp_path, workers=1).path
    summary = json.loads((folder / "summary.json").read_text())
    figures = {each["attack"]: each for each in summary["screened"]}
    assert set(figures) == {"none", "pgd", "knows"}
    table = parquet.read_table(folder / "results.parquet").to_pylist()
    rows = {
        attack: [row for row in table if (row["system"], row["attack"]) == ("watched", attack)]
        for attack in figures
    }
    clean = np.array([row["suspicion"] for row in rows["none"]], np.float64)
    limit = figures["none"]["threshold"]
    assert (clean > limit + 1e-5).mean() <= 0.05
    for attack in ("pgd", "knows"):
        found = figures[attack]
        turned = [
            row["suspicion"]
            for row, before in zip(rows[attack], rows["none"], strict=True)
            if row["prediction"] != row["label"] and before["prediction"] == before["label"]
        ]
        assert found["turned"] == len(turned) > 10
        pairs = np.sign(np.subtract.outer(np.array(turned), clean))
        assert found["auroc"]["value"] == pytest.approx((pairs.mean() + 1) / 2, abs=1e-4)
        evading = sum(each <= limit for each in turned)
        assert found["evades"]["value"] == pytest.approx(evading / len(rows[attack]), abs=0.03)
    assert figures["knows"]["auroc"]["value"] < figures["pgd"]["auroc"]["value"]
    assert figures["knows"]["evades"]["value"] > figures["pgd"]["evades"]["value"]
    assert all(row["suspicion"] is None for row in table if row["system"] == "plain")
    assert "Detector of attacked images of watched" in (folder / "report.html").read_text()


def test_a_system_without_a_detector_cannot_be_attacked_so() -> None:
    block = {"systems": ["plain"], "conditions": ["clean"], "attacks": ["knows"]}
    config = CONFIG | {"attacks": {"knows": CONFIG["attacks"]["knows"]}, "measure": [block]}
    config["systems"] = {"plain": ["classify"]}
    with pytest.raises(ConfigError, match="'plain' has no detector for detector_aware to mislead"):
        run(Evaluate.model_validate(config), root=Path("nowhere"), workers=1)
