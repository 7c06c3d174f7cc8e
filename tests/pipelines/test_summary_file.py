"""`summary.json`: what it holds, and that it is read as it was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from clearsight.data.contract.errors import RunError
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.summary import Ratio, parse_summary

ESTIMATE = {"value", "low", "high", "method"}
COMPARISON = {"difference", "low", "high", "p", "p_adjusted", "gained", "lost", "verdict"}
PLACE = {"system", "condition", "attack"}
SCENARIO = {"attack", "norm", "eps", "attacks"}
KEYS: dict[str, set[str]] = {
    "": {"schema", "name", "title", "key", "task", "seed", "started", "complete", "planned", "data"}
    | {
        "systems",
        "conditions",
        "attacks",
        "metrics",
        "warnings",
        "cells",
        "worst",
        "per_class",
        "pairs",
        "aggregates",
    }
    | {
        "kinds",
        "comparison",
        "timing",
        "stop",
        "certificates",
        "certified",
        "others",
        "ood",
        "screened",
        "risk_curves",
        "detected",
    },
    "data": {
        "kind",
        "description",
        "samples",
        "fingerprint",
        "classes",
        "skipped",
        "passed_over",
        "synthetic",
    },
    "systems": {"name", "baseline", "chain", "parts", "ms_per_image"},
    "systems.parts": {"name", "kind", "spec", "weights", "sha256", "training", "parameters"}
    | {"gradient", "stochastic", "onnx"},
    "conditions": {"name", "group", "groups", "kind", "severity", "table", "family", "steps"},
    "attacks": {"name", "kind", "threat", "sees", "source", "through", "norm", "eps"},
    "cells": PLACE | {"key", "n", "metrics", "versus", "attacked", "checks", "reliable"},
    "cells.metrics.accuracy": ESTIMATE,
    "cells.versus": COMPARISON,
    "cells.attacked": {"images", "queries", "backwards", "linf", "l2", "l1", "through", "broken", "members"},
    "cells.checks": {"check", "verdict", "value", "words"},
    "worst": {"system", "condition", "norm", "eps", "attacks", "n", "clean", "accuracy", "majority"}
    | {"versus", "reliable", "unreliable"},
    "worst.versus": COMPARISON,
    "per_class": {"condition", "n", "entries"},
    "per_class.entries": SCENARIO
    | {"system", "value", "low", "high", "worst", "best", "spread", "by_chance"},
    "pairs": SCENARIO | {"pairs"},
    "pairs.pairs": {"first", "second", "p"},
    "aggregates": {"system", "group", "attack", "conditions", "metrics", "versus", "mce", "relative_mce"},
    "aggregates.versus": {"difference", "low", "high", "p_adjusted", "verdict"},
    "kinds": {"system", "group", "attack", "conditions", "metrics", "versus", "mce", "relative_mce"},
    "comparison": {"baseline", "confidence", "test", "correction", "comparisons", "interval"},
    "timing": {"seconds", "workers", "machines"},
    "certificates": {"name", "kind", "norm", "noise", "settings"},
    "certified": {"key", "system", "condition", "certificate", "n", "shares", "average_radius", "abstained"}
    | {"steps", "upper", "told", "samples", "ms_per_image"},
    "certified.shares": ESTIMATE | {"radius"},
    "certified.steps": {"radius", "images"},
    "certified.upper": ESTIMATE | {"attack", "radius", "contradicted"},
    "others": {"name", "kind", "images", "fingerprint"},
    "ood": {"system", "condition", "source", "score", "known", "other"}
    | {"auroc", "aupr_in", "aupr_out", "fpr95"},
    "ood.auroc": ESTIMATE,
}


@pytest.fixture
def content(make_config: Callable[..., Evaluate], tmp_path: Path) -> dict[str, Any]:
    config = make_config(
        attacks={
            "none": {"kind": "none"},
            "fgsm": {"kind": "fgsm", "eps": "8/255"},
            "pgd": {"kind": "pgd", "eps": "8/255", "steps": 5},
        },
        ood={"drawn": {"kind": "signs", "count": 4, "pixels": 32}},
        certify={"rs": {"kind": "randomized_smoothing", "n0": 4, "n": 20, "images": 2}},
        measure=[
            {"conditions": ["clean"], "attacks": ["none", "fgsm", "pgd"], "certify": ["rs"]},
            {"conditions": ["noise"], "attacks": ["none"]},
        ],
    )
    text = run(config, root=tmp_path / "runs", workers=1).summary.read_text(encoding="utf-8")
    written: dict[str, Any] = json.loads(text)
    return written


def at(content: Any, place: str) -> list[dict[str, Any]]:
    """Return every object at a dotted place; lists are gone through, what is None is left out."""
    here = [content]
    for name in place.split(".") if place else []:
        steps = [item[name] for item in here if item[name] is not None]
        here = [item for step in steps for item in (step if isinstance(step, list) else [step])]
    return here


@pytest.mark.slow
def test_it_has_the_documented_keys_and_is_read_as_it_was_written(content: dict[str, Any]) -> None:
    for place, keys in KEYS.items():
        objects = at(content, place)
        assert objects, f"nothing at '{place}'"
        assert all(set(item) == keys for item in objects), place
    assert parse_summary(content).to_json() == content
    assert set(asdict(Ratio(1.0, 0.9, 1.1, "bootstrap", "AlexNet"))) == ESTIMATE | {"source"}


@pytest.mark.slow
def test_what_cannot_be_a_summary_is_told(content: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="schema 7"):
        parse_summary(content | {"schema": 7})
    del content["cells"][0]["n"]
    with pytest.raises(RunError, match=r"summary\.json: damaged: cells\.0\.n"):
        parse_summary(content)
