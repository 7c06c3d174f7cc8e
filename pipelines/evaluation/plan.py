"""Prepares ``task: evaluate``: the config is checked against its images and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clearsight.data.contract.errors import AttackError, ClearsightError, ConfigError
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.spec import Flow, content_key, kind_of
from clearsight.data.corruptions.base import MINIMUM
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.registries import METRICS
from clearsight.pipelines.evaluation.dataset_check import Intake, check_labels, take_in
from clearsight.pipelines.evaluation.worker import CellChunk, Job
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.runs.folder import open_folder
from clearsight.pipelines.runs.grid import Cell, Grid, make_grid
from clearsight.pipelines.runs.versions import library_versions
from clearsight.pipelines.systems.device import choose_device
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.threats import is_attack
from clearsight.restore.quality.niqe import PATCH
from clearsight.restore.quality.psnr_ssim import WINDOW

SSIM = frozenset({"ssim_in", "ssim_out"})
LUMA = frozenset({"psnr_y_out", "ssim_y_out"})
NIQE = frozenset({"niqe_out"})
"""Columns that are measured only on demand."""
DEFAULT_METRICS = ("accuracy", "majority_accuracy", "ece", "psnr", "ssim", "psnr_in")


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start.

    Attributes:
        warnings: things a reader of the results must know.
        classes: number of classes of the systems, None where they give images or differ.
    """

    config: Evaluate
    grid: Grid
    intake: Intake
    cells: tuple[Cell, ...]
    metrics: tuple[Metric, ...]
    job: Job
    warnings: tuple[str, ...]
    classes: int | None
    parameters: Mapping[str, int]

    def missing(self) -> list[CellChunk]:
        """Return what is not computed yet, condition by condition."""
        chunks = []
        for condition in self.grid.conditions:
            wanted = [cell for cell in self.cells if cell.condition == condition]
            for number in range(self.job.chunks):
                lacking = tuple(
                    cell for cell in wanted if not self.job.folder.chunk(cell.key, number).exists()
                )
                if lacking:
                    chunks.append(CellChunk(condition, number, lacking))
        return chunks


def prepare(
    config: Evaluate, *, root: Path, device: str, fresh: bool = False, on_progress: Progress | None = None
) -> Plan:
    """Check a config against its images and weights, and open its run folder.

    Raises:
        ClearsightError: something does not fit.
    """
    config.ready()
    grid = make_grid(config)
    device = choose_device(device)
    systems = {name: graph.build() for name, graph in grid.graphs.items()}
    extra = _extra(config, grid)
    intake = take_in(
        config.data,
        minimum=_smallest(grid, systems, extra),
        on_progress=lambda done, n: on_progress("read", done, n) if on_progress else None,
    )
    warnings = _check_systems(systems, intake)
    _check_attacks(grid, systems, intake)
    metrics = _metrics(config, grid, intake)
    setting = {"device": device, "ssim": str(extra >= SSIM), **library_versions()}
    if others := extra - SSIM:
        setting["extra"] = " ".join(sorted(others))
    cells = grid.cells(data=intake.fingerprint, seed=config.seed, chunk=config.chunk, setting=setting)
    key = content_key([config.identity(), [cell.key for cell in cells]])
    job = Job(
        folder=open_folder(root, config.name, key, fresh=fresh),
        source=config.data,
        entries=intake.entries,
        graphs=dict(grid.graphs),
        corruptions={name: condition.corruption for name, condition in grid.conditions.items()},
        attacks=dict(grid.attacks),
        seed=config.seed,
        draws=config.draws,
        chunk=config.chunk,
        device=device,
        extra=extra,
        shown=_shown(len(intake.entries), config.images),
    )
    known = {system.classes for system in systems.values()}
    classes = known.pop() if len(known) == 1 else None
    return Plan(config, grid, intake, cells, metrics, job, warnings, classes, _count(systems))


def _count(systems: Mapping[str, System]) -> dict[str, int]:
    """Return ``system/part`` -> number of parameters."""
    return {
        f"{name}/{part}": sum(p.numel() for p in system.part(part).parameters())
        for name, system in systems.items()
        for part in system.graph.parts
    }


def _extra(config: Evaluate, grid: Grid) -> frozenset[str]:
    """Return the costly columns that the metrics read."""
    if config.metrics is None:
        return SSIM if any(graph.restored for graph in grid.graphs.values()) else frozenset()
    read = frozenset(name for metric in config.metrics for name in metric.columns)
    return (SSIM if read & SSIM else frozenset()) | read & LUMA | read & NIQE


def _smallest(grid: Grid, systems: Mapping[str, System], extra: frozenset[str]) -> int:
    """Return the smallest height and width that conditions, parts and metrics can all use."""
    corrupting = any(not condition.corruption.clean for condition in grid.conditions.values())
    needs = [part.minimum for system in systems.values() for part in system.classifiers]
    window = [WINDOW] * bool(extra & (SSIM | {"ssim_y_out"}))
    return max([1, *needs] + [MINIMUM] * corrupting + window + [PATCH] * bool(extra & NIQE))


def _check_systems(systems: Mapping[str, System], intake: Intake) -> tuple[str, ...]:
    warnings = []
    for name, system in systems.items():
        if system.classes is None:
            continue
        if warning := check_labels(intake, name, system.classes, system.class_names):
            warnings.append(warning)
    return tuple(warnings)


def _check_attacks(grid: Grid, systems: Mapping[str, System], intake: Intake) -> None:
    for system, _, name in grid.triples:
        attack, classes = grid.attacks[name], systems[system].classes
        if not is_attack(attack) or classes is None:
            continue
        if not intake.labelled:
            raise ConfigError("an attack needs labelled images", where=f"attack '{name}'")
        try:
            attack.fits(classes)
        except ClearsightError as error:
            raise AttackError(
                error.what, where=f"attack '{name}' on system '{system}'", hint=error.hint
            ) from None


def _metrics(config: Evaluate, grid: Grid, intake: Intake) -> tuple[Metric, ...]:
    classifies = any(graph.gives is Flow.LOGITS for graph in grid.graphs.values())
    restores = any(graph.restored for graph in grid.graphs.values())
    have = {"psnr_in", "ssim_in"}
    have |= {"psnr_out", "ssim_out", *LUMA, *NIQE} if restores else set()
    have |= {"confidence", "prediction"} if classifies else set()
    scored = classifies and intake.labelled
    have |= {"correct", "loss", "brier", "margin"} if scored else set()
    random = any(spec.stochastic for graph in grid.graphs.values() for spec in graph.parts.values())
    have |= {"majority"} if scored and random else set()
    if config.metrics is None:
        chosen = [METRICS[kind]() for kind in DEFAULT_METRICS]
        return tuple(metric for metric in chosen if set(metric.columns) <= have)
    for metric in config.metrics:
        if lacking := set(metric.columns) - have:
            why = "labels" if classifies and not intake.labelled else "a part that gives that"
            raise ConfigError(
                f"metric '{kind_of(metric)}' needs {', '.join(sorted(lacking))}, but nothing here has {why}",
                where="metrics",
            )
    return config.metrics


def _shown(n: int, count: int) -> frozenset[int]:
    # Spread over the set: data are often sorted by class.
    return frozenset(i * n // count for i in range(min(count, n))) if count else frozenset()
