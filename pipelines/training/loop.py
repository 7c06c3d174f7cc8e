"""The one training loop. A method defines what a step minimises, this file everything else.

Everything random is a function of (seed, step), so a run that was killed and started again ends with the
same weights as one that was not, when its budget is in epochs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.method import Tally, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.home import replace_file
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.systems.device import choose_device
from clearsight.pipelines.systems.precision import Precision, arithmetic
from clearsight.pipelines.training.checkpoint import parsed, stored
from clearsight.pipelines.training.classifying import Classifying
from clearsight.pipelines.training.curve import Check, Counts, write_curve
from clearsight.pipelines.training.fresh import fresh_state
from clearsight.pipelines.training.optimiser import factor, set_rate
from clearsight.pipelines.training.precision import faster
from clearsight.pipelines.training.publishing import Trained, publish
from clearsight.pipelines.training.ranks import Ranks
from clearsight.pipelines.training.restoring import Restoring
from clearsight.pipelines.training.sensing import Sensing
from clearsight.pipelines.training.task import Score, TrainingTask
from clearsight.restore.base import RestorerSpec
from clearsight.restore.sense_base import SenseSpec

SAVE_SECONDS = 10.0
"""Seconds between checkpoints, beside those after checks; more where writing one takes over 0.2 s."""
CHART_SECONDS = 10.0
"""Seconds between drawings of the curve: one takes a quarter of a second, more than a check of a small
network does. The last is drawn when the weights are written."""
CHECKPOINT = "checkpoint.safetensors"
SKIPPED = "skipped.json"
"""Images that could not be used, by part; empty where all could."""
PASSED_OVER = "passed_over.json"
"""Files beside the images that are not used, by source (``data``, ``test``, ``reference``)."""


@dataclass(frozen=True)
class StepReport:
    """Where a run is: shown while it trains.

    Attributes:
        step: steps done.
        share: used-up part of the budget, 0 to 1.
        epoch: passes over the data done, with a fraction.
        elapsed: seconds in the loop.
        loss: of the last step, summed over networks.
        rate: learning rate of the last step.
        passes: back-propagations of the method's attack per image, mean since the last check before this
            step; 0 where the method has no attack.
        check: the validation score, where it was measured after this step.
    """

    step: int
    share: float
    epoch: float
    elapsed: float
    loss: float
    rate: float
    passes: float = 0.0
    check: Score | None = None


def train(
    config: TrainConfig,
    *,
    minutes: float | None = None,
    device: str = "auto",
    folder: Path | None = None,
    on_progress: Callable[[StepReport], None] | None = None,
) -> Trained:
    """Train a model in this process, or continue where the run folder stopped, and write its weights.

    Args:
        config: what to train, on what, how.
        minutes: another budget in place of the config's.
        device: ``auto``, ``cpu`` or ``cuda``.
        folder: run folder; ``runs/train_<name>_<key>`` below the working folder where left out.
        on_progress: called after every step.

    Raises:
        ConfigError: the config does not fit the data, or the device is not available.
        DataError: the images cannot be used.
        RunError: the checkpoint is damaged or belongs to other data, or the loss is not finite.
    """
    done = train_together(
        config.within(minutes), Ranks(), choose_device(device), folder=folder, on_progress=on_progress
    )
    assert done is not None
    return done


def train_together(
    config: TrainConfig,
    ranks: Ranks,
    device: str,
    *,
    folder: Path | None = None,
    on_progress: Callable[[StepReport], None] | None = None,
) -> Trained | None:
    """Train a model in one or several processes; the first of them writes everything that is written.

    Weights are those of one process with the same batch, up to rounding. A run may go on with another number
    of processes. The images must be the same for all; the run folder need be there for the first one only.

    Args:
        config: what to train, on what, how.
        ranks: this process among the others.
        device: ``cpu`` or ``cuda``.
        folder: run folder; ``runs/train_<name>_<key>`` below the working folder where left out.
        on_progress: called after every step, in the first process.

    Returns:
        The finished run in the first process, None in the others.

    Raises:
        ConfigError: the config does not fit the data, or cannot be run by several processes.
        DataError: the images cannot be used.
        RunError: the checkpoint is damaged or belongs to other data, the loss is not finite, or a process is
            lost, has other images or computes differently.
    """
    if config.compile and ranks.size > 1:
        raise ConfigError("several processes do not go with it", where="compile", hint="leave it out")
    config = config.pinned()
    place = folder or Path("runs") / config.run_folder
    task = _task(config, device)
    ranks.refuse_other_data(task.fingerprint)
    if ranks.rank == 0:
        _note(config, task, place)
    loop = _Loop(config, task, device, place / CHECKPOINT, ranks, on_progress)
    loop.run()
    ranks.leave()
    if ranks.rank:
        return None
    return publish(config, task, loop.state, place, device, processes=ranks.size)


def _note(config: TrainConfig, task: TrainingTask, place: Path) -> None:
    """Write what is known before the first step, so that a run stopped early tells it too."""
    place.mkdir(parents=True, exist_ok=True)
    replace_file(place / "config.json", config.model_dump_json(indent=2).encode())
    passed_over = {name: [vars(file) for file in files] for name, files in task.passed_over.items()}
    for name, told in ((SKIPPED, task.skipped), (PASSED_OVER, passed_over)):
        replace_file(place / name, json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False).encode())


def _task(config: TrainConfig, device: str) -> TrainingTask:
    """Decode the images of the run."""
    model = config.model
    if isinstance(model, RestorerSpec):
        return Restoring(config, model, device)
    if isinstance(model, SenseSpec):
        return Sensing(config, model, device)
    return Classifying(config, model, device)


class _Loop:
    """One run of the loop."""

    def __init__(
        self,
        config: TrainConfig,
        task: TrainingTask,
        device: str,
        path: Path,
        ranks: Ranks,
        on_progress: Callable[[StepReport], None] | None,
    ) -> None:
        self.config, self.task, self.device, self.path = config, task, device, path
        self.ranks, self.tell = ranks, on_progress if ranks.rank == 0 else None
        self.rng = Rng(config.seed).at("train")
        self.size = len(task.ids)
        self.batch = min(config.batch, self.size)
        self.per_epoch = self.size // self.batch
        self.state = fresh_state(config, task, self.rng, ranks, device)
        self.charted = 0.0
        self.order: tuple[int, torch.Tensor] = (-1, torch.empty(0, dtype=torch.int64))
        content = ranks.first_bytes(stored(path) if ranks.rank == 0 else None)
        if content is not None:
            self.state.resume(parsed(content, path), path, task.fingerprint)
        self.state.precision = self.precision = self._chosen()
        if config.compile:
            self.state.model.compile()

    @property
    def share(self) -> float:
        """Return the used-up part of the budget."""
        if self.config.epochs is not None:
            total = max(1, round(self.config.epochs * self.per_epoch))
            return min(1.0, self.state.step / total)
        return min(1.0, self.state.elapsed / (60.0 * (self.config.minutes or 1.0)))

    def run(self) -> None:
        """Train until the budget is used up."""
        state = self.state
        began, before = perf_counter(), state.elapsed
        saved, pause = began, SAVE_SECONDS
        self.charted = began
        while self.share < 1.0:
            loss, rate = self._step()
            state.step += 1
            state.elapsed = self._elapsed(before, began)
            passes, check = state.stretch.an_image(self.batch), None
            if int(self.share * self.config.checks) > state.checked:
                check = self._check()
                state.elapsed = self._elapsed(before, began)
            if self.tell:
                epoch = state.step / self.per_epoch
                self.tell(StepReport(state.step, self.share, epoch, state.elapsed, loss, rate, passes, check))
            if check is not None or perf_counter() - saved > pause:
                start = perf_counter()
                self._save()
                saved = perf_counter()
                pause = SAVE_SECONDS * max(1.0, 5.0 * (saved - start))
        if state.best is None:
            self._check()
        self._save()

    def _elapsed(self, before: float, began: float) -> float:
        """Return the seconds in the loop: by the first process's clock, since a budget may depend on them."""
        return self.ranks.first(before + perf_counter() - began)

    def _save(self) -> None:
        if self.ranks.rank == 0:
            self.state.save(self.path, self.task.fingerprint)

    def _step(self) -> tuple[float, float]:
        """Do one step; return the summed loss and the learning rate."""
        state, config = self.state, self.config
        share = self.share
        rate = config.optimiser.rate * factor(config.schedule, share)
        rng = self.rng.at("step", state.step)
        batch = self._batch(rng)
        told: dict[str, list[float]] = {}
        with arithmetic(self.precision, self.device):
            losses = config.method.step(state.networks, batch, rng.at("method"))
            for network, loss in losses:
                own = state.optimisers[network]
                set_rate(own, rate)
                own.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                if config.clip is not None:
                    nn.utils.clip_grad_norm_(state.networks[network].parameters(), config.clip)
                own.step()
                told.setdefault(network, []).append(float(loss.detach()))
        # A network that learns several times from a batch reports their mean.
        total = sum(sum(each) / len(each) for each in told.values())
        if not isfinite(total):
            raise RunError(
                f"the loss is not finite at step {state.step}",
                where=str(self.path.parent),
                hint="lower optimiser.rate",
            )
        if state.average and share >= (config.swa or 0.0):
            state.average.update(state.model)
        for counts in (state.whole, state.stretch):
            counts.add(total, batch.tally.passes)
        return total, rate

    def _batch(self, rng: Rng) -> TrainBatch:
        epoch, place = divmod(self.state.step, self.per_epoch)
        if self.order[0] != epoch:
            shuffled = torch.randperm(self.size, generator=self.rng.at("order", epoch).torch())
            self.order = (epoch, shuffled)
        rows = self.order[1][place * self.batch : (place + 1) * self.batch]
        batch = self.task.batch(rows, rng, self.share)
        return replace(batch, history=self.state.history, tally=Tally())

    def _chosen(self) -> Precision:
        """Return the format of the steps; of a run that is resumed, the one that it was begun with."""
        if self.config.precision != "auto":
            return self.config.precision
        if self.state.precision is not None:
            return self.state.precision
        rng = self.rng.at("precision")
        batch = self._batch(rng)

        def step(precision: Precision) -> None:
            # Copies: the steps that are timed must leave no trace in running statistics.
            copies = deepcopy(self.state.networks)
            with arithmetic(precision, self.device):
                losses = self.config.method.step(copies, replace(batch, tally=Tally()), rng.at("method"))
                for network, loss in losses:
                    copies[network].zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    # Reading a value waits for the GPU.
                    float(loss.detach())

        with self.ranks.alone():
            # Each process would time other seconds, and they must do the same steps.
            chosen = faster(step)[0] if self.ranks.rank == 0 else "fp32"
        return "bf16" if self.ranks.first(float(chosen == "bf16")) else "fp32"

    def _check(self) -> Score:
        """Measure the validation part; keep the weights if they are the best so far; record it."""
        state = self.state
        self.ranks.refuse_drift(state.model)
        score = self.task.score(state.model, "validation", state=state.candidate())
        state.checked = int(self.share * self.config.checks)
        better = state.best_rank is None or score.rank > state.best_rank
        if better:
            state.best_rank = score.rank
            state.best = {name: value.detach().clone() for name, value in state.candidate().items()}
        stretch = state.stretch
        state.curve.append(
            Check(
                share=self.share,
                epoch=state.step / self.per_epoch,
                step=state.step,
                elapsed=state.elapsed,
                loss=stretch.loss / stretch.steps if stretch.steps else None,
                passes=state.whole.passes,
                back_propagations=stretch.an_image(self.batch),
                rank=score.rank,
                validation=score.figure(),
                best=better,
            )
        )
        state.stretch = Counts()
        if self.ranks.rank:
            return score
        chart = perf_counter() - self.charted > CHART_SECONDS
        write_curve(self.path.parent, self.config.name, state.curve, chart=chart)
        if chart:
            self.charted = perf_counter()
        return score
