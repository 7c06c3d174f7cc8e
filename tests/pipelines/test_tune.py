"""``clearsight tune``: finds what helps, says when nothing does, and goes on where it was killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.pipelines.cli.check import command as check
from clearsight.pipelines.cli.tune import command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.tune import Tune
from clearsight.pipelines.config.yaml_reader import load
from clearsight.pipelines.evaluation import worker
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.tuning.candidates import Candidate, candidates
from clearsight.pipelines.tuning.front import Scored, front, kept
from clearsight.pipelines.tuning.tune import choose, tune

Make = Callable[..., Tune]
IMPULSES = {"kind": "impulse_noise", "each": {"severity": [2, 3]}, "table": "imagenet_c"}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make configs over 48 flat images of three colours, which the toy tells apart unless they are rough."""
    folder = tmp_path / "flat"
    for i in range(48):
        image = np.full((24, 24, 3), 90 + i % 7, np.uint8)
        image[:, :, i % 3] += 40
        place = folder / ("red", "green", "blue")[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:02d}.png")

    def config(**changes: Any) -> Tune:
        base: dict[str, Any] = {
            "task": "tune",
            "name": "toy",
            "chunk": 12,
            "data": {"kind": "folder", "path": str(folder), "label_map": {"red": 0, "green": 1, "blue": 2}},
            "classifier": {"kind": "python", "call": "toy:shy", "classes": 3},
            "restorers": {"sharpen": {"kind": "unsharp_mask"}, "median": {"kind": "median"}},
            "conditions": {"clean": {"kind": "identity"}, "impulses": IMPULSES},
            "first": 12,
            "finalists": 2,
        }
        return Tune.model_validate(base | changes)

    return config


def told(folder: Path) -> dict[str, Any]:
    """Return the result without what was timed."""
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    for each in found["judged"]:
        del each["ms"]
    return found


@pytest.mark.slow
def test_it_finds_what_helps_and_writes_a_recipe_that_runs(make: Make, tmp_path: Path) -> None:
    config = make(beside={"mine": ("sharpen", "median")})
    found = tune(config, root=tmp_path / "runs", workers=1)
    assert found.candidates == 1 + 2 + 2
    assert found.chosen == "median"
    judged = {each.name: each for each in found.judged}
    assert judged["median"].change == "helps"
    assert judged["median"].score >= judged["mine"].score > judged["alone"].score
    assert judged["alone"].difference is None
    assert judged["alone"].groups["clean"] == 1.0
    assert found.verdict.startswith("median helps: +")
    assert [each.images for each in found.rounds] == sorted(each.images for each in found.rounds)
    folder = Path(found.folder)
    page = (folder / "report.html").read_text()
    assert "median (chosen)" in page
    recipe = load(folder / "best.yaml").parse(Evaluate)
    again = json.loads((run(recipe, root=tmp_path / "runs", workers=1).path / "summary.json").read_text())
    score = np.mean(
        [
            np.mean(
                [
                    c["metrics"]["accuracy"]["value"]
                    for c in again["cells"]
                    if c["system"] == "median" and p(c)
                ]
            )
            for p in (lambda c: c["condition"] == "clean", lambda c: c["condition"] != "clean")
        ]
    )
    assert score == pytest.approx(judged["median"].score)


@pytest.mark.slow
def test_search_and_judgement_share_no_image(make: Make, tmp_path: Path) -> None:
    from pyarrow import parquet

    folder = Path(tune(make(), root=tmp_path / "runs", workers=1).folder)
    seen = {
        path.parent.name.split("_")[1]: set(parquet.read_table(path).column("id").to_pylist())
        for path in folder.glob("runs/*/results.parquet")
    }
    assert len(seen["judge"]) == 24
    for name, ids in seen.items():
        assert name == "judge" or not ids & seen["judge"]
    assert seen["round-1"] <= seen["round-2"] if "round-2" in seen else True


@pytest.mark.slow
def test_a_killed_search_goes_on_and_chooses_the_same(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(tune(make(), root=tmp_path / "whole", workers=1).folder)
    measure, calls = worker.Bench.measure, []

    def dies(bench: worker.Bench, chunk: Any, sent: None) -> int:
        calls.append(chunk)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt
        return measure(bench, chunk)

    monkeypatch.setattr(worker.Bench, "measure", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(make(), root=tmp_path / "killed", workers=1)
    folder = Path(tune(make(), root=tmp_path / "killed", workers=1).folder)
    assert folder.name == whole.name
    mine, other = told(folder), told(whole)
    assert mine.pop("folder") != other.pop("folder")
    assert mine == other
    assert (folder / "best.yaml").read_text() == (whole / "best.yaml").read_text()
    count = len(calls)
    tune(make(), root=tmp_path / "killed", workers=1)
    assert len(calls) == count, "a finished search was measured again"


@pytest.mark.slow
def test_nothing_in_front_is_the_answer_where_nothing_helps(make: Make, tmp_path: Path) -> None:
    config = make(conditions={"clean": {"kind": "identity"}}, restorers={"sharpen": {"kind": "unsharp_mask"}})
    found = tune(config, root=tmp_path / "runs", workers=1)
    assert found.chosen == "alone"
    assert found.verdict.startswith("Leave the images alone")
    assert list(load(Path(found.folder) / "best.yaml").parse(Evaluate).systems) == ["alone"]


def test_the_space_holds_orders_parameters_and_gates(make: Make) -> None:
    config = make(vary={"median": {"size": [3, 5]}}, gates={"vote": {"kind": "mean_logits"}})
    names = [each.name for each in candidates(config)]
    assert names[:4] == ["alone", "sharpen", "vote.sharpen", "median-size-3"]
    assert {"sharpen+median-size-5", "median-size-5+sharpen", "vote.median-size-3+sharpen"} <= set(names)
    assert "median-size-3+median-size-5" not in names
    assert len(names) == 1 + 2 * (3 + 4)
    mixed = make(gates={"half": {"kind": "mean_images"}})
    gated = next(each for each in candidates(mixed) if each.name == "half.median")
    assert gated.nodes["half"]["of"] == ["image", "median"]


def scored(place: int, score: float, ms: float) -> Scored:
    return Scored(Candidate(f"c{place}", (), None, {"out": {"use": "classifier"}}, place), score, ms)


def test_the_front_and_its_ties() -> None:
    best, cheap = scored(0, 0.9, 10.0), scored(1, 0.7, 2.0)
    beaten, twin = scored(2, 0.6, 5.0), scored(3, 0.9, 10.0)
    assert front([twin, beaten, cheap, best]) == [best, cheap]
    assert kept([twin, beaten, cheap, best], 3) == [best, cheap, twin]
    # A score that is as good in a time that cannot be told apart: the one that stands first.
    assert front([scored(1, 0.9, 10.1), best]) == [best]


def test_the_fastest_within_one_standard_error_of_the_best_is_chosen() -> None:
    right = np.tile([1.0, 1.0, 1.0, 0.0], 25)
    nearly, worse = right.copy(), right.copy()
    nearly[:4] = (0.0, 1.0, 0.0, 1.0)  # two lost, one gained: -1 point, standard error 1.7
    worse[:16:4] = 0.0  # four lost: -4 points, standard error 2.0
    found = [scored(0, 0.75, 30.0), scored(1, 0.74, 10.0), scored(2, 0.71, 5.0)]
    scores = {"c0": right, "c1": nearly, "c2": worse}
    assert choose(found, scores, None).name == "c1"
    assert choose(found, scores, 8.0).name == "c2"
    assert choose(found, scores, 1.0).name == "c2"
    assert choose([found[0], found[2]], scores, None).name == "c0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": {"mediam": {"size": [3]}}}, "no 'mediam'.*median"),
        ({"vary": {"median": {"size": [3, 4]}}}, "size"),
        ({"weights": {"cleen": 2}}, "no 'cleen'.*clean"),
        ({"beside": {"mine": ("nothing",)}}, "no 'nothing'"),
        ({"gates": {"sharpen": {"kind": "mean_logits"}}}, "is the name of something else"),
        ({"gates": {"g": {"kind": "median"}}}, "joins no two branches"),
        ({"restorers": {"image": {"kind": "median"}}}, "is the name of something else"),
    ],
)
def test_what_cannot_be_searched_is_refused(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_too_few_images_and_too_large_spaces_are_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="24 images are left to search on, and the first round wants 60"):
        tune(make(first=60), root=tmp_path / "runs", workers=1)
    many = {f"m{i}": {"kind": "median"} for i in range(14)}
    with pytest.raises(ConfigError, match=r"more than 2,000 candidates"):
        candidates(make(restorers=many, longest=3))


def test_a_test_part_is_not_searched_on(make: Make, tmp_path: Path) -> None:
    shown = {"kind": "signs", "split": "test"}
    config = make(data=shown, classifier={"kind": "small_convnet", "weights": "signs-standard-v1"})
    with pytest.raises(ConfigError, match="are the test part of 'signs-standard-v1'"):
        tune(config, root=tmp_path / "runs", workers=1)


@pytest.mark.slow
def test_the_command(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps(make(restorers={"median": {"kind": "median"}}).model_dump(mode="json")))
    check(path, measure=False)
    command(path, tmp_path / "runs", workers=1, device="cpu", quiet=True)
    out = " ".join(capsys.readouterr().out.split())
    assert "tunes 'toy' on 48 images" in out
    assert "median helps" in out
    assert "best.yaml" in out
    shutil.rmtree(tmp_path / "runs")
