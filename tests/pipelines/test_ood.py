"""Images of something else in a run: figures against scikit-learn, files, page, resumption, refusals."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn.metrics import roc_auc_score

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.defend.uncertainty.sureness import SURER
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.markdown import markdown

Make = Callable[..., Evaluate]


@pytest.fixture
def grey(tmp_path: Path) -> dict[str, str]:
    """A source of 20 images that are nearly grey: no class of the toy is there."""
    draw = Rng(0).at("grey").numpy()
    (tmp_path / "grey").mkdir()
    for i in range(20):
        image = draw.integers(60, 200) + draw.integers(0, 12, size=(20, 24, 3))
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "grey" / f"{i:02d}.png")
    return {"kind": "files", "path": str(tmp_path / "grey")}


@pytest.mark.slow
def test_scores_tell_other_images(make_config: Make, grey: dict[str, str], tmp_path: Path) -> None:
    plain = make_config()
    assert "ood" not in plain.identity()
    config = make_config(ood={"grey": grey})
    folder = run(config, root=tmp_path / "runs", workers=1).path
    summary = json.loads((folder / "summary.json").read_text())
    assert [(each["name"], each["images"]) for each in summary["others"]] == [("grey", 20)]
    own = parquet.read_table(folder / "results.parquet").to_pylist()
    other = parquet.read_table(folder / "ood.parquet").to_pylist()
    assert len(other) == 2 * 20
    assert len(summary["ood"]) == 2 * 3 * len(SURER)
    for each in summary["ood"]:
        place = each["system"], each["condition"]
        sign, score = SURER[each["score"]], each["score"]
        known = [sign * r[score] for r in own if (r["system"], r["condition"]) == place]
        others = [sign * r[score] for r in other if r["system"] == each["system"]]
        assert (each["known"], each["other"]) == (len(known), len(others))
        truth = [1] * len(known) + [0] * len(others)
        assert each["auroc"]["value"] == pytest.approx(roc_auc_score(truth, known + others))
        assert each["auroc"]["low"] <= each["auroc"]["value"] <= each["auroc"]["high"]
    clean = next(e for e in summary["ood"] if (e["condition"], e["score"]) == ("clean", "logit_margin"))
    assert clean["auroc"]["low"] > 0.8
    lines = list(csv.DictReader((folder / "ood.csv").read_text().splitlines()))
    assert float(lines[0]["fpr95"]) == summary["ood"][0]["fpr95"]["value"]
    page = (folder / "report.html").read_text()
    assert "20 images of grey against those of the run, clean" in page
    assert "AUROC of logit margin against grey, %" in page
    text = markdown(summary)
    assert "| plain, energy |" in text
    assert "AUROC of energy against grey" in text


@pytest.mark.slow
def test_what_is_there_is_not_measured_again(make_config: Make, grey: dict[str, str], tmp_path: Path) -> None:
    config = make_config(ood={"grey": grey})
    first = run(config, root=tmp_path / "runs", workers=1)
    before = first.done.stat().st_mtime_ns
    run(config, root=tmp_path / "runs", workers=1)
    assert first.done.stat().st_mtime_ns == before
    summary, rows = first.summary.read_bytes(), parquet.read_table(first.ood)
    other = prepare(config, root=tmp_path / "runs", device="cpu").others[0]
    first.chunk(other.cells[0].key, 0).write_bytes(b"damaged")
    run(config, root=tmp_path / "runs", workers=1)
    assert first.done.stat().st_mtime_ns > before
    assert parquet.read_table(first.ood).equals(rows)
    one, two = json.loads(summary), json.loads(first.summary.read_bytes())
    assert one["ood"] == two["ood"]


def test_other_images_need_a_classifier(make_config: Make, grey: dict[str, str], tmp_path: Path) -> None:
    config = make_config(
        parts={"median": {"kind": "median"}}, systems={"a": ["median"]}, ood={"grey": grey}, compare=None
    )
    with pytest.raises(ConfigError, match="scores of confidence need a system that classifies"):
        run(config, root=tmp_path, workers=1)
