"""Prepares ``task: evaluate``: the config is checked against its images and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clearsight.data.contract.errors import AttackError, ClearsightError, ConfigError, RunError
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.spec import content_key
from clearsight.data.sources.base import Source
from clearsight.defend.bounds.layers import layers_of
from clearsight.defend.uncertainty.sureness import SURER
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.behaviour_check import behaviour_warnings, refuse_unsteady
from clearsight.pipelines.evaluation.dataset_check import Intake, smallest_side, take_in
from clearsight.pipelines.evaluation.job import CellChunk, Job, spread
from clearsight.pipelines.evaluation.measuring import key_of, measurements_of, metrics_of
from clearsight.pipelines.evaluation.ood import OtherSet, other_sets
from clearsight.pipelines.evaluation.promises import promise_warnings
from clearsight.pipelines.evaluation.stopping import Ends, check_stop
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.runs.folder import open_folder
from clearsight.pipelines.runs.grid import AnyCell, Cell, CertifiedCell, Grid, make_grid
from clearsight.pipelines.runs.versions import library_versions
from clearsight.pipelines.systems.device import choose_device
from clearsight.pipelines.systems.labels import check_system
from clearsight.pipelines.systems.layers import layers_of_system
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.threats import is_attack


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
    ends: Ends
    certified: tuple[CertifiedCell, ...] = ()
    others: tuple[OtherSet, ...] = ()

    @property
    def every_cell(self) -> tuple[AnyCell, ...]:
        """Return the cells of attacks, then those of certificates."""
        return (*self.cells, *self.certified)

    def missing(self) -> list[CellChunk]:
        """Return what is not computed yet, condition by condition."""
        chunks = []
        for condition in self.grid.conditions:
            wanted = [cell for cell in self.every_cell if cell.condition == condition]
            for number in range(self.job.chunks):
                lacking = tuple(
                    cell for cell in wanted if not self.job.folder.seal(cell.key, number).exists()
                )
                if lacking:
                    chunks.append(CellChunk(condition, number, lacking))
        return chunks

    def ended(self) -> bool:
        """Return whether everything that the figures need is measured."""
        return all(self.ends.of(condition) is not None for condition in self.grid.conditions) and not any(
            chunk.number < (self.ends.of(chunk.condition) or 0) for chunk in self.missing()
        )

    def discard_damaged(self) -> list[str]:
        """Delete the seals of chunks whose files do not match them; return what is wrong with each."""
        found = []
        for cell in self.every_cell:
            for number in range(self.job.chunks):
                seal = self.job.seal(cell, number)
                if seal.path.exists():
                    try:
                        seal.opened().check()
                    except RunError as error:
                        seal.path.unlink()
                        found.append(f"{error.where}: {error.what}")
        return found


def prepare(
    config: Evaluate, *, root: Path, device: str, fresh: bool = False, on_progress: Progress | None = None
) -> Plan:
    """Check a config against its images and weights, and open its run folder.

    Raises:
        ClearsightError: something does not fit.
    """
    config = config.pinned()
    config.ready()
    grid = make_grid(config)
    device = choose_device(device)
    systems = {name: graph.build() for name, graph in grid.graphs.items()}
    scores = tuple(SURER) if config.ood else ()
    measurements = measurements_of(metrics_of(config, grid, labelled=True), scores)
    source = config.source()
    intake = take_in(
        source,
        lacking=grid.lacking,
        minimum=smallest_side(systems.values(), grid.conditions.values(), measurements),
        on_progress=lambda done, n: on_progress("read", done, n) if on_progress else None,
    )
    grid = grid.fitted(intake.side).bound(intake.entries)
    _check_systems(systems, source, intake)
    warnings = behaviour_warnings(systems, source, intake.entries)
    warnings += promise_warnings(grid, intake.fingerprint)
    _check_attacks(grid, systems, intake)
    _check_certificates(grid, systems, source, intake)
    check_stop(config, grid, intake)
    metrics = metrics_of(config, grid, labelled=intake.labelled)
    data, seed, chunk = intake.fingerprint, config.seed, config.chunk
    # Left out where it is fp32, so that older keys stay valid.
    precision = {} if config.precision == "fp32" else {"precision": config.precision}
    setting = {"device": device, **precision, **library_versions()}
    measured = setting | {"measured": key_of(measurements)}
    cells = grid.cells(data=data, seed=seed, chunk=chunk, setting=measured)
    certified = grid.certified_cells(data=data, seed=seed, chunk=chunk, setting=setting)
    others = other_sets(config, grid, systems, setting, on_progress)
    keys = [*(cell.key for cell in cells), *(cell.key for cell in certified)]
    keys += [cell.key for other in others for cell in other.cells]
    key = content_key([config.identity(), keys])
    folder = open_folder(root, config.name, key, fresh=fresh)
    ends = Ends(folder, cells, len(intake.entries), config.chunk, config.stop)
    job = Job(
        folder=folder,
        source=source,
        entries=intake.entries,
        digests=intake.digests,
        graphs=dict(grid.graphs),
        corruptions={name: condition.corruption for name, condition in grid.conditions.items()},
        attacks=dict(grid.attacks),
        seed=config.seed,
        draws=config.draws,
        chunk=config.chunk,
        device=device,
        precision=config.precision,
        measurements=measurements,
        shown=_shown(ends.looks[0], config.images),
        certificates=dict(grid.certificates),
        certifiable={cell.key: grid.certifiable(cell.system, cell.certificate) for cell in certified},
    )
    known = {system.classes for system in systems.values()}
    classes = known.pop() if len(known) == 1 else None
    return Plan(
        *(config, grid, intake, cells, metrics, job, warnings, classes, _count(systems), ends, certified),
        others=others,
    )


def _count(systems: Mapping[str, System]) -> dict[str, int]:
    """Return ``system/part`` -> number of parameters."""
    return {
        f"{name}/{part}": sum(p.numel() for p in system.part(part).parameters())
        for name, system in systems.items()
        for part in system.graph.parts
    }


def _check_systems(systems: Mapping[str, System], source: Source, intake: Intake) -> None:
    for name, system in systems.items():
        if system.detector is not None and not intake.boxed:
            raise ConfigError(
                f"system '{name}' gives boxes, but the images come without any",
                where="data",
                hint="use a source with boxes (kind: coco)",
            )
        check_system(name, system, intake.entries, intake.classes, mapped=source.mapped)


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


def _check_certificates(grid: Grid, systems: Mapping[str, System], source: Source, intake: Intake) -> None:
    if grid.certified and not intake.labelled:
        raise ConfigError("a certificate needs labelled images", where="certify")
    names = list(dict.fromkeys(system for system, _, _ in grid.certified))
    for name, _, certificate in grid.certified:
        spec = grid.certificates[certificate]
        if spec.sees == "layers":
            layers_of(layers_of_system(systems[name]), f"certificate '{certificate}' of system '{name}'")
    refuse_unsteady(systems, names, source, intake.entries)


def _shown(n: int, count: int) -> frozenset[int]:
    return frozenset(spread(n, count))
