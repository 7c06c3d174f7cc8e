"""``clearsight tune``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_task
from clearsight.pipelines.cli.console import console, progress


def command(config: Path, out: Path, *, workers: int, device: str, quiet: bool) -> None:
    """Search the best chain of a config and print how the candidates compare."""
    from rich.table import Table

    from clearsight.pipelines.config.tune import Tune

    document, spec = read_task(config, Tune)
    spec.ready()
    writable_folder(out)
    from clearsight.pipelines.cli.left_out import tell_left_out
    from clearsight.pipelines.report.words import SYMBOLS, number, point_span, points
    from clearsight.pipelines.tuning.tune import PAGE, tune

    with progress(quiet=quiet) as tell:
        found = tune(spec, text=document.text, root=out, workers=workers, device=device, on_progress=tell)
    table = Table(box=None, pad_edge=False)
    table.add_column("chain")
    for heading in ("score", "difference", "95 % interval", *found.groups, "ms"):
        table.add_column(heading, justify="right")
    for each in found.judged:
        gap = "" if each.difference is None else f"{SYMBOLS[each.change]} {points(each.difference)}"
        groups = (number(100 * each.groups[group]) for group in found.groups)
        table.add_row(
            each.name,
            number(100 * each.score),
            gap,
            point_span(each.low, each.high),
            *groups,
            number(each.ms, 2),
        )
    screen = console()
    screen.print(table)
    runs = sorted(path.parent for path in (Path(found.folder) / "runs").glob("*/DONE"))
    tell_left_out(partial(screen.print, markup=False, soft_wrap=True), map(RunFolder, runs))
    for line in (
        found.verdict,
        f"recipe: {Path(found.folder) / found.recipe}",
        f"page: {Path(found.folder) / PAGE}",
    ):
        screen.print(line, markup=False, soft_wrap=True)
