"""``clearsight train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.spec import kind_of
from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_task
from clearsight.pipelines.cli.console import NAMED, console, progress, tell_passed_over

if TYPE_CHECKING:
    from clearsight.pipelines.config.train import TrainConfig
    from clearsight.pipelines.training.loop import StepReport
    from clearsight.pipelines.training.ranks import Ranks

STEPS = 1000
"""Steps of the progress bar, which shows the share of the budget, in minutes or epochs."""


@dataclass(frozen=True)
class Own:
    """What a user sets instead of the recipe's values.

    Attributes:
        dark: folder (or file source) of dark images.
        normal: folder of well-lit images.
        init: weights to start from.
        size: side in pixels of the square that both are resized and cropped to.
        changes: further values, each as in ``model.depth=18``.
    """

    dark: str | None = None
    normal: str | None = None
    init: str | None = None
    size: int | None = None
    changes: tuple[str, ...] = ()


def command(
    path: Path,
    own: Own,
    *,
    minutes: float | None,
    device: str,
    out: Path,
    quiet: bool,
    as_rank: bool = False,
) -> None:
    """Train as a recipe says and print the scores and where the weights are.

    Args:
        path: of the recipe, or its name.
        own: what is set instead of its values.
        minutes: another budget.
        device: ``auto``, ``cpu`` or ``cuda``.
        out: folder that holds the run folders.
        quiet: only results.
        as_rank: this is one of several processes, of which the first prints and writes.
    """
    from clearsight.pipelines.config.train import TrainConfig

    config = adapted(read_task(path, TrainConfig, of_own_data(own.changes))[1], own).within(minutes)
    folder = out / config.run_folder
    from clearsight.pipelines.systems.device import choose_device
    from clearsight.pipelines.training.launching import LOST, launched
    from clearsight.pipelines.training.ranks import LostProcessError, Ranks

    device = choose_device(device)
    silent = as_rank and launched()
    try:
        ranks = Ranks.joined(device) if as_rank else Ranks()
        if ranks.rank == 0:
            writable_folder(out)
        _trained(config, ranks, device, folder, quiet=quiet or ranks.rank > 0)
    except LostProcessError:
        if silent:
            raise SystemExit(LOST) from None
        raise


def together(
    path: Path,
    own: Own,
    processes: int,
    *,
    minutes: float | None,
    device: str,
    out: Path,
    quiet: bool,
) -> None:
    """Run `command` in several processes of this machine.

    Raises:
        ConfigError: the recipe or the options cannot be used; no process was started.
        RunError: one of the processes failed.
    """
    from clearsight.pipelines.config.train import TrainConfig

    adapted(read_task(path, TrainConfig, of_own_data(own.changes))[1], own).within(minutes)
    from clearsight.pipelines.training.launching import launch

    options: dict[str, object] = {
        "--minutes": minutes,
        "--dark": own.dark,
        "--normal": own.normal,
        "--init": own.init,
    }
    options |= {"--size": own.size, "--device": device, "--out": out}
    words = [str(path)]
    words += [f"{name}={value}" for name, value in options.items() if value is not None]
    words += [f"--set={change}" for change in own.changes]
    launch([*words, "--quiet"] if quiet else words, processes)


def _trained(config: TrainConfig, ranks: Ranks, device: str, folder: Path, *, quiet: bool) -> None:
    from clearsight.pipelines.training.curve import CHART
    from clearsight.pipelines.training.loop import PASSED_OVER, SKIPPED, train_together

    screen = console()
    with progress(quiet=quiet) as tell:

        def show(state: StepReport) -> None:
            tell("train", round(STEPS * state.share), STEPS)
            if state.check:
                cost = f", back-propagations {state.passes:.1f} an image" if state.passes else ""
                found = state.check.text()
                tell.note(f"epoch {state.epoch:.1f}: loss {state.loss:.4g}{cost}, validation {found}")

        done = train_together(config, ranks, device, folder=folder, on_progress=show)
    if done is None:
        return
    for part, images in done.skipped.items():
        for image in images[:NAMED]:
            screen.print(f"skipped {image['id']} ({part}): {image['reason']}", markup=False, soft_wrap=True)
        if len(images) > NAMED:
            more = f"... and {len(images) - NAMED} more of the {part} part: {done.folder / SKIPPED}"
            screen.print(more, markup=False, soft_wrap=True)
    say = partial(screen.print, markup=False, soft_wrap=True)
    for files in done.passed_over.values():
        tell_passed_over(say, files, str(done.folder / PASSED_OVER))
    for part, score in done.scores.items():
        screen.print(f"{part}: {score.text()}", markup=False)
    for part, score in done.last.items():
        screen.print(f"{part} of the last weights, which are not kept: {score.text()}", markup=False)
    screen.print(f"curve: {done.folder / CHART}", markup=False, soft_wrap=True)
    screen.print(f"weights: {done.weights.folder}", markup=False, soft_wrap=True)


def queued(path: Path, *, device: str, out: Path, quiet: bool) -> None:
    """Run the trainings of a list one after another and print the outcome of each.

    Raises:
        ConfigError: the list or one of its recipes cannot be used; nothing was trained.
        RunError: some trainings failed; the others were done.
    """
    from clearsight.pipelines.config.queue import Queue
    from clearsight.pipelines.config.train import TrainConfig
    from clearsight.pipelines.config.yaml_reader import load

    document = load(path)
    root = writable_folder(out)
    configs = []
    for place, entry in enumerate(document.parse(Queue).trainings):
        recipe = Path(entry.recipe)
        # A bare name is that of a shipped recipe; other paths are relative to the folder of the list.
        told = recipe if not recipe.suffix and recipe.parent == Path() else path.parent / recipe.expanduser()
        try:
            configs.append(read_task(told, TrainConfig, of_own_data(entry.set))[1].within(entry.minutes))
        except ConfigError as error:
            where = document.where(("trainings", place))
            raise ConfigError(str(error), where=where) from None
    from clearsight.pipelines.runs.queued import Training
    from clearsight.pipelines.training.queue import Job, work_off

    jobs = [Job(config, root / config.run_folder) for config in configs]
    status = root / f"queue_{path.stem}"
    screen = console()
    say = partial(screen.print, markup=False, soft_wrap=True)
    say(f"status: {status}.html")
    with progress(quiet=quiet) as tell:

        def show(training: Training, report: StepReport) -> None:
            tell(training.name, round(STEPS * report.share), STEPS)
            if report.check:
                tell.note(f"{training.name}: validation {report.check.text()}")

        told_all = work_off(jobs, title=path.stem, status=status, device=device, on_progress=show)
    for training in told_all.trainings:
        say(f"{training.name}: {training.state}: {training.error or training.weights}")
    if failed := told_all.count("failed"):
        raise RunError(f"{failed} of {len(jobs)} trainings failed", where=str(path))


def of_own_data(changes: Sequence[str]) -> tuple[str, ...]:
    """Return the values of ``--set``, and nothing of what the recipe says of its data where others are set.

    What a recipe publishes (id, origin and licence of the images, limits) is not true of them.
    """
    places = {change.partition("=")[0].strip() for change in changes}
    told = any(place.partition(".")[0] == "publish" for place in places)
    return (*changes, "publish={}") if places & {"data", "data.kind"} and not told else tuple(changes)


def adapted(config: TrainConfig, own: Own) -> TrainConfig:
    """Return the recipe for the user's own images, starting from trained weights.

    Raises:
        ConfigError: the options do not go together or do not fit the recipe.
        WeightsError: there are no such weights.
    """
    changes: dict[str, Any] = {}
    if own.init is not None:
        changes |= {"model": {"kind": kind_of(config.model), "weights": own.init}, "init": None}
    if (own.dark is None) != (own.normal is None):
        raise ConfigError("give both folders or neither", where="--dark and --normal")
    if own.dark is not None:
        if not config.method.needs_reference:
            raise ConfigError(
                f"method '{kind_of(config.method)}' learns from one folder",
                where="--normal",
                hint="the recipe 'enlighten' learns from two",
            )
        plain = {"kind": "files", "size": own.size}
        changes |= {
            "data": plain | {"path": own.dark},
            "reference": plain | {"path": own.normal},
            "test": None,
            "publish": {
                "about": f"Dark images of {own.dark} and well-lit ones of {own.normal}, unpaired"
                + (f"; fine-tuned from {own.init}." if own.init else "."),
                "licence": "as the owner of the images says",
            },
        }
    elif own.size is not None:
        raise ConfigError("goes with --dark and --normal", where="--size")
    if not changes:
        return config
    changes["name"] = f"{config.name}-adapted"
    return type(config).model_validate(config.model_dump() | changes)
