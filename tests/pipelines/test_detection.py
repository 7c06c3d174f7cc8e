"""Detection as an end utility: a run from boxes to report, its figures recomputed from the rows by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from tiny_detector import NAMES, squares_set, tiny_yolox

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.run_folder import RunFolder
from clearsight.defend.average_precision import average_precision, joined, over_classes
from clearsight.defend.box_matching import match
from clearsight.pipelines.analysis.detections import Resampled, jointly
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.evaluation.unfinished import so_far
from clearsight.pipelines.metrics.ap import AP
from clearsight.pipelines.metrics.ap50 import AP50, matched
from clearsight.pipelines.metrics.recall_at_precision import RecallAtPrecision
from clearsight.pipelines.metrics.resampled import ends
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.runs.columns import columns_of
from clearsight.pipelines.utility.detection import BOXES

Make = Callable[..., Evaluate]
COUNT = 12


@pytest.fixture
def make(tmp_path: Path) -> Make:
    root = squares_set(tmp_path / "set", COUNT)
    detector = tiny_yolox(tmp_path / "tiny.onnx")

    def made(**changes: Any) -> Evaluate:
        base: dict[str, Any] = {
            "task": "evaluate",
            "name": "squares",
            "chunk": 5,
            "data": {"kind": "coco", "path": str(root)},
            "parts": {
                "brighten": {"kind": "gamma", "gamma": 0.3},
                "darken": {"kind": "gamma", "gamma": 3.0},
                "detect": {"kind": "onnx_detector", "path": str(detector), "class_names": NAMES},
            },
            "systems": {"plain": ["detect"], "bright": ["brighten", "detect"], "dark": ["darken", "detect"]},
            "conditions": {
                "clean": {"kind": "identity"},
                "noise": {"kind": "gaussian_noise", "each": {"severity": [1, 3]}},
            },
            "compare": {"baseline": "plain"},
            "images": 2,
        }
        return Evaluate.model_validate(base | changes)

    return made


@pytest.fixture
def finished(make: Make, tmp_path: Path) -> Path:
    return run(make(), root=tmp_path / "runs", workers=1).path


def rows_of(folder: Path, system: str, condition: str) -> list[dict[str, Any]]:
    rows = parquet.read_table(folder / "results.parquet").to_pylist()
    return [row for row in rows if (row["system"], row["condition"]) == (system, condition)]


def from_boxes(folder: Path, system: str, condition: str, annotations: Path) -> float:
    """Compute AP50 anew from the boxes in the rows and the annotations, not from what was matched."""
    told = json.loads(annotations.read_text())
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for row, image in zip(rows_of(folder, system, condition), told["images"], strict=True):
        assert row["id"] == image["file_name"]
        true = [each for each in told["annotations"] if each["image_id"] == image["id"]]
        labels = np.array([each["category_id"] for each in true], int)
        boxes = np.array([each["bbox"] for each in true], float).reshape(-1, 4)
        found = np.array(row["found_boxes"], float).reshape(-1, 4)
        scores, names = np.array(row["found_scores"], float), np.array(row["found_labels"], int)
        bits = match(found, scores, names, boxes, labels, np.zeros(len(true), bool))
        for column, values in zip(columns, (scores, names, *bits, labels), strict=True):
            column.append(values)
    together = joined(*columns)
    return float(over_classes(average_precision(together, together.once(), [0]))[0])


@pytest.mark.slow
def test_figures_agree_with_the_boxes_in_the_rows(finished: Path, tmp_path: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["metrics"][:3] == ["ap50", "ap", "recall_at_precision"]
    levels = {}
    for cell in summary["cells"]:
        figure = cell["metrics"]["ap50"]
        place = (cell["system"], cell["condition"])
        assert cell["n"] == COUNT
        assert figure["value"] == pytest.approx(
            from_boxes(finished, *place, tmp_path / "set" / "annotations.json")
        )
        assert figure["low"] <= figure["value"] <= figure["high"]
        levels[place] = figure["value"]
        # Boxes of whole cells: what overlaps by half overlaps wholly.
        assert cell["metrics"]["ap"]["value"] == pytest.approx(figure["value"])
    # The detector misses the dim squares until they are brightened.
    assert levels["plain", "clean"] < levels["bright", "clean"]
    assert levels["dark", "clean"] <= levels["plain", "clean"]


@pytest.mark.slow
def test_differences_are_those_of_the_figures_and_classes_are_told(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    levels = {(c["system"], c["condition"]): c["metrics"]["ap50"]["value"] for c in summary["cells"]}
    for cell in summary["cells"]:
        versus, condition = cell["versus"], cell["condition"]
        if cell["system"] == "plain":
            assert versus is None
            continue
        assert versus["difference"] == pytest.approx(
            levels[cell["system"], condition] - levels["plain", condition]
        )
        assert versus["low"] <= versus["difference"] <= versus["high"]
        assert "gained" not in versus
    assert summary["comparison"]["test"] == "resamples of the images"
    mean = next(g for g in summary["aggregates"] if (g["system"], g["group"]) == ("bright", "noise"))
    expected = np.mean([levels["bright", f"gaussian_noise-{n}"] for n in (1, 3)])
    assert mean["metrics"]["ap50"]["value"] == pytest.approx(expected)
    assert mean["versus"]["difference"] == pytest.approx(
        expected - np.mean([levels["plain", f"gaussian_noise-{n}"] for n in (1, 3)])
    )
    clean = [e for e in summary["detected"] if (e["system"], e["condition"]) == ("bright", "clean")]
    assert [e["label"] for e in clean] == [0, 1, 2]
    assert clean[0]["boxes"] == 3
    assert np.mean([e["ap50"]["value"] for e in clean]) == pytest.approx(levels["bright", "clean"])
    base = {e["label"]: e for e in summary["detected"] if (e["system"], e["condition"]) == ("plain", "clean")}
    for entry in clean:
        assert entry["difference"]["value"] == pytest.approx(
            entry["ap50"]["value"] - base[entry["label"]]["ap50"]["value"]
        )


@pytest.mark.slow
def test_the_report_is_about_average_precision(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    text = markdown(summary)
    assert "AP50 (mean over classes), in percent." in text
    assert "| class | plain | bright | dark |" in text
    assert "| blue (3) |" in text
    page = (finished / "report.html").read_text()
    assert "AP50" in page
    assert "AP50 by class, %, clean" in page
    assert "Accuracy" not in page.partition("Fine print")[0]
    assert "compared with ‘plain’" in page


@pytest.mark.slow
def test_results_do_not_depend_on_workers_chunks_resume(make: Make, tmp_path: Path) -> None:
    small: dict[str, Any] = {"systems": {"plain": ["detect"], "bright": ["brighten", "detect"]}}
    small["conditions"] = {"clean": {"kind": "identity"}}
    finished = run(make(**small), root=tmp_path / "runs", workers=1).path
    again = run(make(**small), root=tmp_path / "again", workers=2).path
    files = ("results.parquet", "summary.csv")
    for name in files:
        assert (again / name).read_bytes() == (finished / name).read_bytes()
    # A run that was killed: some chunks and every file of results are gone.
    for seal in sorted(again.rglob("seal-*.json"))[::3]:
        seal.unlink()
    for name in ("DONE", "results.parquet", "summary.json"):
        (again / name).unlink()
    assert not so_far(RunFolder(again)).summary.complete
    assert run(make(**small), root=tmp_path / "again", workers=1).path == again
    for name in files:
        assert (again / name).read_bytes() == (finished / name).read_bytes()
    whole = run(make(chunk=12, **small), root=tmp_path / "whole", workers=1).path
    rows = [parquet.read_table(path / "results.parquet").to_pylist() for path in (finished, whole)]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_enlarging_restorers_give_boxes_in_pixels_of_the_image(make: Make, tmp_path: Path) -> None:
    parts = make().model_dump(mode="json", exclude_none=True)["parts"] | {
        "enlarge": {"kind": "bicubic", "scale": 2}
    }
    config = make(
        parts=parts,
        systems={"plain": ["detect"], "large": ["enlarge", "detect"]},
        conditions={"clean": {"kind": "identity"}},
    )
    folder = run(config, root=tmp_path / "runs", workers=1).path
    cells = json.loads((folder / "summary.json").read_text())["cells"]
    levels = {cell["system"]: cell["metrics"]["ap50"]["value"] for cell in cells}
    assert levels["large"] == pytest.approx(levels["plain"], abs=0.05)


@pytest.mark.slow
def test_images_without_boxes_and_classes_of_another_detector_are_refused(make: Make, tmp_path: Path) -> None:
    plain = make(data={"kind": "files", "path": str(tmp_path / "set" / "images")})
    with pytest.raises(ConfigError, match="gives boxes, but the images come without any"):
        prepare(plain, root=tmp_path / "runs", device="cpu")
    parts = make().model_dump(mode="json", exclude_none=True)["parts"]
    parts["detect"]["class_names"] = ["red", "green", "blue"]
    with pytest.raises(ConfigError, match="classes in another order") as caught:
        prepare(make(parts=parts), root=tmp_path / "runs", device="cpu")
    assert "data.label_map: {'red': 0, 'green': 1, 'blue': 2}" in str(caught.value)
    mapped = {"kind": "coco", "path": str(tmp_path / "set"), "label_map": {"red": 0, "green": 1, "blue": 2}}
    folder = run(
        make(parts=parts, data=mapped, systems={"plain": ["detect"]}), root=tmp_path / "runs", workers=1
    )
    assert json.loads(folder.summary.read_text())["cells"]
    far = mapped | {"label_map": {"red": 9}}
    with pytest.raises(ConfigError, match=r"label 9 \(red\)"):
        prepare(make(data=far), root=tmp_path / "runs", device="cpu")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"attacks": {"pgd": {"kind": "pgd", "norm": "linf", "eps": "8/255"}}},
            "gives boxes: attacks are made",
        ),
        (
            {"attacks": {"s": {"kind": "square", "norm": "linf", "eps": "8/255"}}},
            "gives boxes: attacks are made",
        ),
        ({"utility": "classification"}, "gives boxes, which is no classification"),
        ({"stop": {"half_width": 1.0}}, "no accuracy that could be known well"),
        ({"metrics": ["accuracy"]}, "nothing here has a classifier"),
        ({"certify": {"c": {"kind": "randomized_smoothing", "sigma": 0.25}}}, "gives boxes, not logits"),
    ],
)
def test_what_needs_a_class_is_refused(
    make: Make, tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises((ClearsightError, ValueError), match=match):
        prepare(make(**changes), root=tmp_path / "runs", device="cpu")


def test_the_utility_changes_no_key(make: Make) -> None:
    assert BOXES.primary == "ap50"
    assert make(utility="detection").digest() == make().digest()


def test_classifiers_cannot_measure_detections(make_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs found_boxes.*nothing here has .*a detector"):
        prepare(make_config(metrics=["ap50"]), root=tmp_path / "runs", device="cpu")
    with pytest.raises(ValueError, match="gives logits, which is no detection"):
        make_config(utility="detection")


def test_metrics_of_rows_with_nothing_to_find() -> None:
    nothing = np.empty(2, object)
    nothing[:] = [np.zeros(0), np.zeros(0)]
    rows = {column.name: nothing for column in AP50.columns}
    for metric in (AP50(), AP(), RecallAtPrecision()):
        assert metric(rows, Rng(0)) is None
    assert matched(rows).classes == ()
    missing = np.empty(2, object)
    assert AP50()(dict.fromkeys(rows, missing), Rng(0)) is None


def test_intervals_of_a_family_hold_jointly() -> None:
    # Twenty differences whose truth is 0: a single 95 % interval each would leave 0 out in most families.
    rng = Rng(3).numpy()
    wrong = 0
    for _ in range(200):
        truth = rng.normal(0, 1, 20)
        family = [Resampled(float(v), v + rng.normal(0, 1, 300)) for v in truth]
        wrong += any(found.verdict != "unclear" for found in jointly(family))
    assert 2 <= wrong <= 22  # 5 % of 200 is 10
    (clear,) = jointly([Resampled(5.0, 5.0 + rng.normal(0, 1, 300))])
    assert clear.verdict == "helps"
    assert clear.p_adjusted == pytest.approx(1 / 301)
    (same,) = jointly([Resampled(0.0, np.zeros(300))])
    assert (same.low, same.high, same.verdict, same.p_adjusted) == (0, 0, "unclear", 1.0)
    assert jointly([]) == []


def test_ends_of_known_resamples() -> None:
    assert ends(np.append(np.arange(101.0), np.nan)) == pytest.approx((2.5, 97.5))
    assert np.isnan(ends(np.array([np.nan]))).all()


@pytest.mark.slow
def test_columns_of_lists_come_back_as_arrays(finished: Path) -> None:
    table = parquet.read_table(finished / "results.parquet").slice(0, COUNT)
    first = json.loads((finished / "summary.json").read_text())["cells"][0]
    (columns,) = columns_of(table, [type("C", (), first)()], [COUNT]).values()
    assert columns["found_scores"].dtype == object
    assert [len(each) for each in columns["found_scores"]] == [
        len(row["found_scores"]) for row in table.to_pylist()
    ]
    assert columns["correct"].dtype == float
