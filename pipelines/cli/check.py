"""``clearsight check``: what a config asks for and what it costs, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.corruptions.base import constants_in_words
from clearsight.data.sources.base import middle_side
from clearsight.defend.attacks.none import NoAttack
from clearsight.defend.base import ClassifierSpec
from clearsight.pipelines.cli.configs import read_any
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.config.trust import refuse_foreign_code
from clearsight.pipelines.evaluation.disk_use import disk_use
from clearsight.pipelines.systems.threats import NONE, is_attack, victim_of

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate
    from clearsight.pipelines.runs.grid import Grid


CLASSES = 10
"""Number of classes assumed where a classifier does not state its own."""


def command(path: Path, *, measure: bool, untrusted: bool = False) -> None:
    """Check a config of any task and print its cost; refuse an untrusted one that executes code."""
    from clearsight.pipelines.config.evaluate import Evaluate

    document, config = read_any(path)
    path = document.path
    if untrusted:
        refuse_foreign_code(config, str(path))
    config.ready()
    entries = config.data.index().entries
    images = len(entries)
    if not isinstance(config, Evaluate):
        console().print(f"{path}: fine; {config.command}s '{config.name}' on {images} images", markup=False)
        return
    from clearsight.pipelines.runs.grid import make_grid

    grid = make_grid(config)
    if sizes := config.data.sizes(entries):
        grid = grid.fitted(middle_side(sizes))
    _print(path, config, grid, images, sizes, _seconds_per_image(config) if measure else {})


def _print(
    path: Path,
    config: Evaluate,
    grid: Grid,
    images: int,
    sizes: Mapping[tuple[int, int], int],
    seconds: dict[str, float],
) -> None:
    from rich.table import Table

    table = Table(title=None, box=None, pad_edge=False)
    attacked = any(is_attack(config.attacks[attack]) for _, _, attack in grid.triples) or grid.certified
    most = ", at most" if attacked else ""
    passes = f"passes{most}" if attacked else "forward passes"
    for heading in ("system", "chain", "cells", passes, f"time on one core{most}"):
        table.add_column(heading, justify="left" if heading in ("system", "chain") else "right")
    total = 0.0
    for name, graph in grid.graphs.items():
        cells = sum(system == name for system, _, _ in (*grid.triples, *grid.certified))
        every = _all_passes(config, grid, name, images)
        cost = seconds.get(name, 0.0) * every
        total += cost
        table.add_row(name, graph.describe(), str(cells), f"{every:,}", _time(cost) if seconds else "")
    screen = console()
    screen.print(
        f"{path}: fine; {len(grid.triples)} cells = {len(grid.graphs)} systems x {len(grid.conditions)} "
        f"conditions x {len(grid.attacks)} attacks as measured, {images} images each"
        + (f"; {len(grid.certified)} certified cells" if grid.certified else ""),
        markup=False,
    )
    if tables := {each for condition in grid.conditions.values() for each in condition.corruption.all_tables}:
        screen.print(f"{_sizes(sizes)}; {constants_in_words(tables)}", markup=False, soft_wrap=True)
    if config.precision != "fp32":
        screen.print(f"networks compute in {config.precision}", markup=False)
    if config.resources:
        screen.print(f"a chunk on Ray needs {config.resources}", markup=False, soft_wrap=True)
    screen.print(table)
    used = disk_use(config, grid, images, sizes)
    screen.print(f"about {_size(used)} on disk, and the page", markup=False)
    if config.stop:
        screen.print(
            f"at most: a condition ends where its accuracies are known to {config.stop.half_width:g} points",
            markup=False,
        )
    if seconds:
        corrupting = seconds[""] * images
        screen.print(f"corrupting the images: {_time(corrupting)}; all: {_time(total + corrupting)}")
    else:
        screen.print("add --measure to time one chunk of each system")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def _sizes(sizes: Mapping[tuple[int, int], int]) -> str:
    """Return the sizes of the images that were read, in words."""
    if not sizes:
        return "no image could be read"
    low, high = (f"{height}x{width}" for height, width in (min(sizes), max(sizes)))
    return f"images of {low} pixels" if low == high else f"images of {low} to {high} pixels"


def _all_passes(config: Evaluate, grid: Grid, name: str, images: int) -> int:
    """Return the passes of all cells of a system, at most."""
    found = sum(
        images * _passes(config, grid, attack, name) for system, _, attack in grid.triples if system == name
    )
    for system, _, certificate in grid.certified:
        if system == name:
            spec = grid.certificates[certificate]
            attacks = (config.attacks[attack].passes(CLASSES) for attack in spec.attacks)
            draws = (config.attacks[attack].averaged for attack in spec.attacks)
            under = sum(each * (f + 2 * b) for (f, b), each in zip(attacks, draws, strict=True))
            found += min(images, spec.images or images) * (spec.passes() + under)
    return found


def _passes(config: Evaluate, grid: Grid, name: str, system: str) -> int:
    """Return the most passes per image; a backward pass counts as two, for it takes twice as long."""
    attack = config.attacks[name]
    if not is_attack(attack):
        return 1
    victim = victim_of(attack, name, grid.graphs, system)
    known = (spec.resolved() for spec in victim.parts.values() if isinstance(spec, ClassifierSpec))
    classes = next((spec.classes for spec in known), None)
    forwards, backwards = attack.passes(classes or CLASSES)
    draws = attack.averaged if any(spec.stochastic for spec in victim.parts.values()) else 1
    # Three more: the first prediction, the loss before the attack and the final prediction.
    return 3 + draws * (forwards + 2 * backwards)


def _seconds_per_image(config: Evaluate) -> dict[str, float]:
    """Return system -> seconds per image, and ``""`` -> seconds to corrupt an image for all conditions."""
    from tempfile import TemporaryDirectory
    from time import perf_counter

    from clearsight.data.contract.rng import Rng
    from clearsight.data.contract.sample import Sample
    from clearsight.pipelines.config.evaluate import Measure
    from clearsight.pipelines.evaluation.job import CellChunk
    from clearsight.pipelines.evaluation.plan import prepare
    from clearsight.pipelines.evaluation.worker import Bench, one_thread

    used = tuple(dict.fromkeys(name for block in config.blocks() for name in block.conditions))
    small = config.model_copy(
        update={
            "data": config.data.model_copy(
                update={"take": min(config.chunk, config.data.take or config.chunk)}
            ),
            # One forward pass is what is timed; attacks are counted in passes.
            "attacks": {NONE: NoAttack()},
            "measure": (Measure(conditions=used, attacks=(NONE,)),),
        }
    )
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as scratch, one_thread():
        plan = prepare(small, root=Path(scratch), device="cpu")
        bench, job, images = Bench(plan.job), plan.job, len(plan.intake.entries)
        samples = [s for s in job.source.read(job.entries) if isinstance(s, Sample)]
        root = Rng(job.seed).at("corrupt")
        start = perf_counter()
        for corruption in job.corruptions.values():
            for sample in samples:
                corruption.of(sample, root)
        seconds[""] = (perf_counter() - start) / images
        for name in plan.grid.graphs:
            cell = next(cell for cell in plan.cells if cell.system == name)
            bench.measure(CellChunk(cell.condition, 0, (cell,)))  # builds the system, so it is not timed
            start = perf_counter()
            bench.measure(CellChunk(cell.condition, 0, (cell,)))
            seconds[name] = (perf_counter() - start) / images
    return seconds


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
