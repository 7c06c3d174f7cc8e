"""The curve of a run, its counts, and the best and the last weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import training_toy as toy

from clearsight.data.contract.method import Method
from clearsight.pipelines.cli.train import Own, command
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.checkpoint import read, write
from clearsight.pipelines.training.curve import CHART, NUMBERS, Counts
from clearsight.pipelines.training.curve_chart import drawn
from clearsight.pipelines.training.loop import CHECKPOINT, StepReport, train

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


def counted(**changes: Any) -> TrainConfig:
    method: Method = toy.Counting()
    return toy.signs(**changes).model_copy(update={"method": method})


def curve(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / NUMBERS).read_text())
    return told


@pytest.mark.slow
def test_every_check_is_recorded_and_handed_on(tmp_path: Path) -> None:
    toy.SEEN.clear()
    seen: list[StepReport] = []
    done = train(
        counted(test={"kind": "signs", "count": 17, "pixels": 16}), folder=tmp_path, on_progress=seen.append
    )
    checks = curve(tmp_path)["checks"]
    assert [each["step"] for each in checks] == [2, 4, 6, 8]
    assert [each["epoch"] for each in checks] == [0.5, 1.0, 1.5, 2.0]
    assert [each["share"] for each in checks] == [0.25, 0.5, 0.75, 1.0]
    # 8 of 17 images, three times each.
    assert [each["passes"] for each in checks] == [48, 96, 144, 192]
    assert {each["back_propagations"] for each in checks} == {24 / 17}
    assert done.weights.card["back_propagations"] == round(24 / 17, 3)
    losses = [each.loss for each in seen]
    for number, check in enumerate(checks):
        assert check["loss"] == pytest.approx(sum(losses[2 * number : 2 * number + 2]) / 2)
    told = [each for each in seen if each.check]
    assert [each.check.figure() for each in told if each.check] == [each["validation"] for each in checks]
    assert all(each.passes == 24 / 17 for each in seen)
    ranks = [tuple(each["rank"]) for each in checks]
    assert [each["best"] for each in checks] == [all(r > o for o in ranks[:i]) for i, r in enumerate(ranks)]
    firsts = tuple((each["share"], each["rank"][0]) for each in checks)
    assert [firsts[: step // 2] for step in range(8)] == toy.SEEN


@pytest.mark.slow
def test_the_command_tells_the_cost_and_where_the_curve_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = toy.signs(epochs=1, checks=2, method={"kind": "adversarial", "steps": 2})
    recipe = tmp_path / "recipe.yaml"
    # JSON is YAML.
    recipe.write_text(json.dumps(told.model_dump(mode="json", exclude_none=True)))
    command(recipe, Own(), minutes=None, device="cpu", out=tmp_path, quiet=False)
    found = capsys.readouterr()
    lines = " ".join(found.err.split())
    assert lines.count("back-propagations 2.0 an image, validation 0.") == 2
    assert "curve: " in found.out
    assert Path(found.out.split("curve: ")[1].split("\n")[0]).is_file()


@pytest.mark.slow
def test_a_method_without_an_attack_has_no_passes(tmp_path: Path) -> None:
    done = train(toy.signs(epochs=1), folder=tmp_path)
    assert "back_propagations" not in done.weights.card
    assert all(each["back_propagations"] == 0 for each in curve(tmp_path)["checks"])


@pytest.mark.slow
def test_curve_and_counts_survive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    whole = train(counted(), folder=tmp_path / "whole")
    for step in (3, 6):
        with pytest.raises(toy.KilledError):
            train(counted(), folder=tmp_path / "parts", on_progress=toy.stop_after(step))
    parts = train(counted(), folder=tmp_path / "parts")
    one, other = curve(tmp_path / "whole"), curve(tmp_path / "parts")
    for told in (one, other):
        for check in told["checks"]:
            del check["elapsed"]
    assert one == other
    assert whole.weights.card["back_propagations"] == parts.weights.card["back_propagations"]
    assert whole.weights.sha256 == parts.weights.sha256


def test_a_checkpoint_without_a_curve_goes_on_with_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clearsight.pipelines.training.loop.SAVE_SECONDS", 0.0)
    with pytest.raises(toy.KilledError):
        train(counted(), folder=tmp_path, on_progress=toy.stop_after(4))
    old = read(tmp_path / CHECKPOINT)
    for name in ("curve", "whole", "stretch"):
        del old.facts[name]
    write(tmp_path / CHECKPOINT, old)
    toy.SEEN.clear()
    done = train(counted(), folder=tmp_path)
    assert toy.SEEN[0] == ()
    assert [each["step"] for each in curve(tmp_path)["checks"]] == [4, 6, 8]
    # Counted over the steps that were counted.
    assert done.weights.card["back_propagations"] == round(24 / 17, 3)


@pytest.mark.slow
def test_best_and_last_are_both_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # At this rate from halfway on, what was learned is lost again.
    def risen(schedule: Any, share: float) -> float:
        return 1.0 if share < 0.5 else 400.0

    monkeypatch.setattr("clearsight.pipelines.training.loop.factor", risen)
    config = toy.signs(epochs=6, ema=None, clip=1.0, test={"kind": "signs", "count": 34, "pixels": 16})
    done = train(config, folder=tmp_path)
    told, card = curve(tmp_path), done.weights.card
    kept = [each for each in told["checks"] if each["best"]][-1]
    assert kept["step"] < done.steps
    assert (told["best"]["step"], told["last"]["step"]) == (kept["step"], done.steps)
    assert told["best"]["test"] == card["figures"]["test"] == done.scores["test"].figure()
    assert told["last"]["test"] == card["figures"]["last"]["test"] == done.last["test"].figure()
    assert told["last"]["validation"] == card["figures"]["last"]["validation"]
    assert done.scores["validation"].rank > done.last["validation"].rank


def test_the_last_weights_are_not_told_twice(tmp_path: Path) -> None:
    config = toy.signs(epochs=1, checks=1)
    done = train(config, folder=tmp_path)
    told = curve(tmp_path)
    assert not done.last
    assert "last" not in done.weights.card["figures"]
    assert told["best"]["validation"] == told["last"]["validation"]
    # A finished run that is started again writes the same curve.
    train(config, folder=tmp_path)
    assert curve(tmp_path) == told


def checks(*figures: dict[str, Any], best: int = 0) -> list[dict[str, Any]]:
    return [
        {"epoch": float(number), "validation": each, "best": number == best}
        for number, each in enumerate(figures, start=1)
    ]


def accuracy(value: float, **more: Any) -> dict[str, Any]:
    return {"accuracy": value, "low": value - 0.05, "high": value + 0.05, "cross_entropy": 1.0, **more}


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def groups(svg: str, name: str) -> list[ElementTree.Element]:
    """Return the groups of the drawing whose ids begin with a name."""
    return [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if g.get("id", "").startswith(name)]


def points(svg: str) -> list[list[tuple[float, float]]]:
    """Return the places of the markers of every line."""
    return [
        [(float(use.attrib["x"]), float(use.attrib["y"])) for use in line.iter(f"{SVG}use")]
        for line in groups(svg, "line-")
    ]


def test_chart_shows_natural_and_examined_accuracy() -> None:
    hard = {"how": "PGD-5 <8/255>"}
    figures = [accuracy(0.4 + 0.1 * i, robust=accuracy(0.2 - 0.02 * i) | hard) for i in range(4)]
    svg = drawn({"name": "a & b", "checks": checks(*figures, best=2)})
    assert {"natural", "PGD-5 <8/255>", "kept: 2", "a & b: validation part"} <= set(texts(svg))
    assert len(groups(svg, "interval")) == 2
    natural, robust = points(svg)
    assert len(natural) == len(robust) == 4
    heights = [[y for _, y in line] for line in (natural, robust)]
    assert heights[0] == sorted(heights[0], reverse=True)
    assert heights[1] == sorted(heights[1])
    assert max(heights[0]) < min(heights[1])
    ends = {end: {"test": figures[i]} for end, i in (("best", 0), ("last", 3))}
    ended = texts(drawn({"name": "a & b", "checks": checks(*figures, best=2)} | ends))
    assert "test part, kept and last weights: natural 0.400, 0.700; robust 0.200, 0.140" in ended
    # Nothing is fetched from elsewhere: the only addresses are the names of SVG itself.
    assert set(re.findall(r"\w+://[^\"]+", svg)) == {SVG[1:-1], XLINK[1:-1]}


def test_chart_of_a_restorer_has_a_line_a_condition() -> None:
    told = [
        {"metric": "PSNR in dB", "interval": "bootstrap 95 %", "n": 4}
        | {name: {"psnr": at + i, "low": at - 1, "high": at + 1} for name, at in (("s15", 30), ("s50", 24))}
        for i in range(2)
    ]
    found = texts(drawn({"name": "denoise", "checks": checks(*told)}))
    assert {"s15", "s50", "PSNR in dB, 95 % intervals"} <= set(found)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_chart_of_one_check(value: float) -> None:
    figure = {"accuracy": value, "low": value, "high": value}
    svg = drawn({"name": "x", "checks": checks(figure, best=1)})
    left, top, width, height = map(float, ElementTree.fromstring(svg).attrib["viewBox"].split())
    ((place,),) = points(svg)
    assert left <= place[0] <= left + width
    assert top <= place[1] <= top + height


def test_chart_has_the_same_bytes_each_time_and_takes_any_name() -> None:
    told = {"name": "$a_$ <b>", "checks": checks(accuracy(0.5), accuracy(0.6))}
    assert drawn(told) == drawn(told)
    assert "$a_$ <b>: validation part" in texts(drawn(told))
    assert "natural 0.5 to 0.6" in (ElementTree.fromstring(drawn(told)).findtext(f"{SVG}title") or "")


def test_the_run_folder_has_the_chart(tmp_path: Path) -> None:
    train(toy.signs(epochs=1, checks=2), folder=tmp_path)
    assert "natural" in texts((tmp_path / CHART).read_text())


def test_counts_are_sums() -> None:
    counts = Counts()
    assert counts.an_image(8) == 0.0
    for step in range(4):
        counts.add(float(step), 16)
    assert (counts.steps, counts.loss, counts.passes) == (4, 6.0, 64)
    assert counts.an_image(8) == 2.0
