"""A queue of trainings: in order, resumed, what is done left out, what fails named while the rest goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import training_toy as toy

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.pipelines.cli.configs import read_any, read_task
from clearsight.pipelines.cli.train import queued
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.runs.queued import Queued, Training
from clearsight.pipelines.training import queue
from clearsight.pipelines.training.loop import StepReport, train
from clearsight.pipelines.training.queue import Job, work_off

RECIPE = """
task: train
name: {name}
data: {{kind: signs, split: train, count: 68, pixels: 16}}
validation: {{per_class: 1}}
model: {{kind: small_convnet, width: 4, blocks: 1}}
augment: {{crop: 0}}
epochs: 1
batch: 17
checks: 1
ema: null
"""


def jobs(root: Path, **changes: Any) -> list[Job]:
    configs = [toy.signs(name=name, epochs=1, checks=1, **changes) for name in ("one", "two", "three")]
    return [Job(config, root / config.run_folder) for config in configs]


def told(status: Path) -> list[dict[str, Any]]:
    trainings: list[dict[str, Any]] = json.loads(status.with_name("queue_q.json").read_text())["trainings"]
    return trainings


@pytest.mark.slow
def test_a_stopped_queue_goes_on_where_it_was(tmp_path: Path) -> None:
    todo, status = jobs(tmp_path), tmp_path / "queue_q"
    steps: list[tuple[str, int]] = []

    def stop_in_two(training: Training, report: StepReport) -> None:
        steps.append((training.name, report.step))
        if steps[-1] == ("two", 2):
            raise toy.KilledError

    with pytest.raises(toy.KilledError):
        work_off(todo, title="q", status=status, device="cpu", on_progress=stop_in_two)
    assert [each["state"] for each in told(status)] == ["done", "stopped", "waiting"]
    assert told(status)[1]["share"] == 0.5
    page = status.with_name("queue_q.html").read_text()
    assert "1 of 3 done" in page
    assert 'http-equiv="refresh"' not in page

    first = told(status)[0]
    done = work_off(
        todo, title="q", status=status, device="cpu", on_progress=lambda t, r: steps.append((t.name, r.step))
    )
    assert [each.state for each in done.trainings] == ["done"] * 3
    # What was done is not trained again, and what was said of it is still known.
    assert [name for name, _ in steps].count("one") == 4
    assert (done.trainings[0].found, done.trainings[0].weights) == (first["found"], first["weights"])
    assert all(Path(each.weights, "model.safetensors").is_file() for each in done.trainings)
    assert "of 34" in done.trainings[2].found


def test_damaged_weights_do_not_count_as_done(tmp_path: Path) -> None:
    (job, *_), status = jobs(tmp_path), tmp_path / "queue_q"
    weights = Path(work_off([job], title="q", status=status, device="cpu").trainings[0].weights)
    whole = (weights / "model.safetensors").read_bytes()
    (weights / "model.safetensors").write_bytes(whole[:-1])
    # The checkpoint is at its end: the weights are only written anew.
    assert work_off([job], title="q", status=status, device="cpu").count("done") == 1
    assert (weights / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize("fault", [RunError, RuntimeError, MemoryError])
def test_one_that_fails_is_named_and_the_others_are_done(
    fault: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(config: Any, **options: Any) -> Any:
        if config.name == "two":
            raise fault("the loss is not finite")
        return train(config, **options)

    todo = jobs(tmp_path)
    monkeypatch.setattr(queue, "train", sometimes)
    done = work_off(todo, title="q", status=tmp_path / "queue_q", device="cpu")
    assert [each.state for each in done.trainings] == ["done", "failed", "done"]
    assert "the loss is not finite" in done.trainings[1].error
    assert "the loss is not finite" in (tmp_path / "queue_q.html").read_text()


def test_a_damaged_status_costs_no_more_than_its_words(tmp_path: Path) -> None:
    (job, *_), status = jobs(tmp_path), tmp_path / "queue_q"
    work_off([job], title="q", status=status, device="cpu")
    for text in ("", "[]", '{"trainings": [{}]}', "\x00"):
        status.with_name("queue_q.json").write_text(text)
        (training,) = work_off([job], title="q", status=status, device="cpu").trainings
        assert (training.state, training.found) == ("done", "")


def test_the_page_is_read_again_while_something_runs(tmp_path: Path) -> None:
    from clearsight.pipelines.report.queue_page import write_queue_page

    running = Queued("<b>", [Training("a", "runs/a", "running", share=0.5, found="0.9 <of> 10")])
    write_queue_page(tmp_path / "q.html", running, "curve.svg")
    page = (tmp_path / "q.html").read_text()
    assert '<meta http-equiv="refresh" content="60">' in page
    assert "0.9 &lt;of&gt; 10" in page
    assert "<b>" not in page


def test_a_list_is_read_from_its_folder_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lists" / "own").mkdir(parents=True)
    (tmp_path / "lists" / "own" / "a.yaml").write_text(RECIPE.format(name="a"))
    night = tmp_path / "lists" / "night.yaml"
    night.write_text("trainings:\n- {recipe: own/a.yaml, set: [seed=3]}\n- {recipe: nothing}\n")
    out = tmp_path / "runs"
    with pytest.raises(ConfigError, match=r"night.yaml:3.*no shipped recipe"):
        queued(night, device="cpu", out=out, quiet=True)
    assert not list(out.glob("train_*"))
    night.write_text(
        "trainings:\n- {recipe: own/a.yaml, set: [seed=3]}\n- {recipe: own/a.yaml, minutes: 0.001}\n"
    )
    queued(night, device="cpu", out=out, quiet=True)
    cards = [json.loads(path.read_text()) for path in sorted(out.glob("train_a_*/weights/a/card.json"))]
    assert sorted((card["seed"], card["recipe"]["minutes"]) for card in cards) == [(0, 0.001), (3, None)]
    assert capsys.readouterr().out.count("a: done: ") == 2
    for read in (read_any, lambda path: read_task(path, TrainConfig)):
        with pytest.raises(ConfigError, match=r"night.yaml:1: this is a list of trainings.* --queue"):
            read(night)
    night.write_text("trainings: []\n")
    with pytest.raises(ConfigError, match="trainings"):
        queued(night, device="cpu", out=out, quiet=True)
