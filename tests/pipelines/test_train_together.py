"""Several processes train what one process trains: with every method, however the batch is divided."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import training_toy as toy
from rank_threads import together
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow
from clearsight.pipelines.config.registries import METHODS
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.config.yaml_reader import load
from clearsight.pipelines.training.classifying import Classifying
from clearsight.pipelines.training.curve import NUMBERS
from clearsight.pipelines.training.dividing import divided
from clearsight.pipelines.training.launching import launch
from clearsight.pipelines.training.loop import CHECKPOINT, StepReport, _Loop, _task, train_together
from clearsight.pipelines.training.ranks import Ranks
from clearsight.pipelines.training.scoring import Score
from clearsight.pipelines.training.task import TrainingTask

CLASSIFYING = [kind for kind, method in METHODS.kinds.items() if method.trains is Flow.LOGITS]
FEW: Mapping[str, dict[str, Any]] = {"free": {"replays": 2}}
"""What the methods of this name have in place of two steps of an attack."""
NEAR: Mapping[str, float] = {"fat_trades": 1e-2, "trades": 1e-2}
"""Largest difference of losses where it is not 1e-4. The attack of TRADES begins where the divergence has hardly
a slope, and follows the signs of it: the last bit of a product, which differs with the size of a batch, decides
some."""
ROOT = Path(__file__).parents[2]


def losses(config: TrainConfig, folder: Path, size: int) -> list[float]:
    """Return the loss of every step of a training in so many threads; the first one tells it."""
    seen: list[float] = []
    task = images_of(config)

    def run(ranks: Ranks) -> None:
        loop = _Loop(config, task, "cpu", folder / CHECKPOINT, ranks, lambda report: seen.append(report.loss))
        loop.run()

    folder.mkdir()
    together(size, run)
    return seen


@cache
def decoded(key: str, data: str) -> TrainingTask:
    return _task(TrainConfig.model_validate_json(data), "cpu")


def images_of(config: TrainConfig) -> TrainingTask:
    """Return the images of a training: decoded once for all methods for classifiers."""
    if config.restores or config.data != toy.signs().data:
        return _task(config, "cpu")
    task = copy.copy(decoded(config.data.key(), toy.signs().model_dump_json()))
    assert isinstance(task, Classifying)
    task.method, task.how = config.method, config.augment
    return task


def with_method(kind: str, **changes: Any) -> TrainConfig:
    fields = METHODS.kinds[kind].model_fields
    own = FEW.get(kind, {"steps": 2} if "steps" in fields else {})
    return toy.signs(**({"method": {"kind": kind} | own, "epochs": 1, "checks": 1} | changes))


@pytest.mark.parametrize("kind", CLASSIFYING)
@pytest.mark.slow
def test_every_method_for_classifiers_learns_the_same(kind: str, tmp_path: Path) -> None:
    config = with_method(kind)
    # 17 images among three: 5, 6 and 6.
    one = losses(config, tmp_path / "one", 1)
    assert losses(config, tmp_path / "three", 3) == pytest.approx(one, abs=NEAR.get(kind, 1e-4))


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"kind": "adversarial", "steps": 1, "awp": {"gamma": 0.01}}},
        {"method": {"kind": "adversarial", "steps": 1, "local_linearity": 3}, "clip": 0.5},
        {"model": {"kind": "ffdnet", "width": 8, "depth": 3}, "method": {"kind": "denoise"}, "patch": 16},
        {
            "model": {"kind": "enlighten", "width": 4},
            "method": {
                **{"kind": "enlighten_gan", "feature_network": "none", "filters": 2, "patches": 1},
                **{"global_layers": 2, "local_layers": 2},
            },
            "reference": {"kind": "signs", "split": "test", "count": 102, "pixels": 48},
            "data": {"kind": "signs", "split": "train", "count": 102, "pixels": 48},
            "patch": 48,
        },
        {"model": {"kind": "zero_dce"}, "method": {"kind": "zero_dce"}, "patch": 16}
        | {"reference": {"kind": "signs", "split": "test", "count": 102, "pixels": 16}},
    ],
    ids=["awp", "second order", "restorer", "gan", "not through the network's call"],
)
@pytest.mark.slow
def test_gradients_of_every_form_are_whole(changes: dict[str, Any], tmp_path: Path) -> None:
    config = toy.signs(**({"epochs": 0.5, "checks": 1} | changes))
    one = losses(config, tmp_path / "one", 1)
    assert losses(config, tmp_path / "two", 2) == pytest.approx(one, abs=1e-4)


@pytest.mark.slow
def test_more_processes_than_images(tmp_path: Path) -> None:
    config = with_method("adversarial", batch=2, epochs=0.1)
    one = losses(config, tmp_path / "one", 1)
    assert losses(config, tmp_path / "three", 3) == pytest.approx(one, abs=1e-4)


def test_a_budget_in_minutes_is_measured_by_the_first_clock(tmp_path: Path) -> None:
    config = with_method("standard", epochs=None, minutes=0.005)
    seen = losses(config, tmp_path / "run", 2)
    assert seen
    assert json.loads((tmp_path / "run" / NUMBERS).read_text())["checks"][-1]["step"] == len(seen)


def test_the_first_process_chooses_the_precision(tmp_path: Path) -> None:
    config = with_method("standard", precision="auto")
    assert len(losses(config, tmp_path / "run", 2)) == 4


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_normalisation_is_that_of_the_whole_batch(affine: bool, momentum: float | None) -> None:
    images = 3.0 + torch.randn(7, 4, 5, 5, generator=Rng(1).torch())
    weights = torch.randn(7, 4, 5, 5, generator=Rng(2).torch())

    def run(ranks: Ranks) -> list[Tensor]:
        layer = nn.BatchNorm2d(4, affine=affine, momentum=momentum).train()
        divided({"model": layer}, ranks)
        x = images.clone().requires_grad_()
        for _ in range(2):
            out = layer(x)
        (out * weights).sum().backward()
        told = [out.detach(), x.grad, *layer.buffers(), *(p.grad for p in layer.parameters())]
        return [each for each in told if each is not None]

    one = run(Ranks())
    for found in together(3, run):
        assert len(found) == len(one)
        for here, there in zip(found, one, strict=True):
            torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)


def test_every_row_belongs_to_one_process() -> None:
    for size in (1, 2, 3, 4):
        for n in (0, 1, 2, 3, 4, 17):
            parts = [list(range(n)[Ranks(rank, size).rows(n)]) for rank in range(size)]
            assert [row for part in parts for row in part] == list(range(n))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_networks_that_mix_images_are_refused() -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean()

    def run(ranks: Ranks) -> None:
        model = Mean()
        divided({"model": model}, ranks)
        model(torch.ones(4, 2))

    with pytest.raises(ConfigError, match="does not give one output an image"):
        together(2, run)


def test_processes_that_differ_are_refused() -> None:
    with pytest.raises(RunError, match="have read different images"):
        together(2, lambda ranks: ranks.refuse_other_data(f"images {ranks.rank}"))

    def drifted(ranks: Ranks) -> None:
        layer = nn.Linear(2, 2)
        nn.init.constant_(layer.weight, 1.0 + 1e-6 * ranks.rank)
        nn.init.zeros_(layer.bias)
        ranks.refuse_drift(layer)

    with pytest.raises(RunError, match="no longer have the same weights"):
        together(2, drifted)


def test_what_cannot_be_done_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--processes: give 2 or more"):
        launch(["x.yaml"], 1)
    with pytest.raises(ConfigError, match="compile: several processes"):
        train_together(toy.signs(compile=True), Ranks(0, 2), "cpu", folder=tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="not one of several processes; start it by torchrun"):
        Ranks.joined("cpu")
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="2 processes and 1 GPUs"):
        Ranks.joined("cuda")


def command(recipe: Path, out: Path, *words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "clearsight.pipelines.cli.app",
        "train",
        str(recipe),
        f"--out={out}",
        *words,
    ]


RECIPE = """
task: train
name: killed
data: {kind: signs, split: train, count: 102, pixels: 16}
validation: {per_class: 2}
model: {kind: small_convnet, width: 4, blocks: 1}
method: {kind: adversarial, steps: 2}
augment: {crop: 1, flip: false}
optimiser: {kind: sgd, rate: 5e-2}
epochs: 250
batch: 17
checks: 250
ema: 0.9
"""


@pytest.mark.slow
def test_a_killed_process_ends_the_job_and_one_process_goes_on(tmp_path: Path) -> None:
    """Real processes: `--processes 2`, of which the second is killed; one process resumes to the same loss."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    job = subprocess.Popen(
        command(recipe, tmp_path / "runs", "--processes=2"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert job.stderr is not None
    assert job.stdout is not None
    timer = threading.Timer(200, job.kill)
    timer.start()
    said: list[str] = []
    for line in job.stderr:
        said.append(line)
        # The first check has been written: there is something to go on from.
        if line.startswith("epoch"):
            break
    os.kill(_second_process(job.pid), signal.SIGKILL)
    said += job.stderr.readlines()
    assert job.wait() == 1
    timer.cancel()
    job.stderr.close()
    job.stdout.close()
    told = [line for line in said if not line.startswith(("epoch", "train:"))]
    assert len(told) == 1
    assert "training: process 1 of 2 was killed (signal 9); run the same command again" in told[0]
    (folder,) = (tmp_path / "runs").iterdir()
    before = [check["loss"] for check in json.loads((folder / NUMBERS).read_text())["checks"]]
    config = TrainConfig.model_validate(json.loads((folder / "config.json").read_text()))
    task = _task(config, "cpu")
    resumed = until(config, task, folder, 4 * len(before) + 4)
    whole = until(config, task, tmp_path / "whole", 4 * len(before) + 4)
    # Every step of the two processes, and of the one that went on.
    assert before == pytest.approx(
        [sum(whole[i : i + 4]) / 4 for i in range(0, 4 * len(before), 4)], abs=1e-3
    )
    assert 4 <= len(resumed) <= 8
    assert resumed == pytest.approx(whole[-len(resumed) :], abs=1e-3)


def until(config: TrainConfig, task: TrainingTask, folder: Path, step: int) -> list[float]:
    """Return the losses of one process, from where the folder's checkpoint is to a step."""
    seen: list[float] = []

    def tell(report: StepReport) -> None:
        seen.append(report.loss)
        if report.step == step:
            raise toy.KilledError

    folder.mkdir(exist_ok=True)
    with pytest.raises(toy.KilledError):
        _Loop(config, task, "cpu", folder / CHECKPOINT, Ranks(), tell).run()
    return seen


def _second_process(launcher: int) -> int:
    """Return the id of the child whose environment says rank 1."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            names = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher and b"RANK=1" in names:
            return int(place.name)
    raise AssertionError("no second process")


def in_float64(config: TrainConfig, size: int, folder: Path) -> list[float]:
    """Return the losses of a training whose batches and network are float64, without checks."""
    task = copy.copy(images_of(config))
    batch, seen = task.batch, list[float]()

    def wide(rows: Tensor, rng: Rng, share: float) -> TrainBatch:
        made = batch(rows, rng, share)
        return replace(made, images=made.images.double())

    def unseen(model: nn.Module, part: str, *, state: Mapping[str, Tensor]) -> Score:
        return Score(0, 1, 0.0)

    task.batch, task.score = wide, unseen  # type: ignore[method-assign]

    def run(ranks: Ranks) -> None:
        path = folder / f"{size}" / CHECKPOINT
        path.parent.mkdir(exist_ok=True)
        loop = _Loop(config, task, "cpu", path, ranks, lambda report: seen.append(report.loss))
        loop.state.model.double()
        loop.run()

    together(size, run)
    return seen


@pytest.mark.slow
def test_only_rounding_differs(tmp_path: Path) -> None:
    """In float32 the last bit of a sum decides which way some ReLUs and signs go; in float64 hardly any."""
    config = toy.signs(method={"kind": "adversarial", "steps": 2}, epochs=1.25, checks=1, ema=None)
    one, two = (in_float64(config, size, tmp_path) for size in (1, 2))
    assert len(one) == 5
    assert two == pytest.approx(one, abs=1e-9)


@pytest.mark.long
@pytest.mark.slow
def test_fifty_steps_of_a_shipped_recipe(tmp_path: Path) -> None:
    """`signs-at` on images of half the side: losses of two processes and of one, step by step."""
    document = load(ROOT / "pipelines" / "recipes" / "train" / "signs-at.yaml").value
    data = {"kind": "signs", "split": "train", "count": 4000, "pixels": 32}
    changes = {"data": data, "test": None, "minutes": None, "epochs": 50 / 56, "ema": None, "checks": 1}
    config = TrainConfig.model_validate(document | changes)
    one, two = (in_float64(config, size, tmp_path) for size in (1, 2))
    assert len(one) == 50
    assert two == pytest.approx(one, abs=1e-4)
