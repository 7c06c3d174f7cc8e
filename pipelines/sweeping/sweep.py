"""Runs ``task: sweep``: one run for every combination of values, and one table and one page over all.

A cell that one run has measured is taken over by the others. Kill it at any moment and start it again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from clearsight.data.contract.progress import Progress
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.text import cell as in_cell
from clearsight.data.contract.text import csv_text
from clearsight.data.executors.choice import Backend
from clearsight.data.home import replace_file
from clearsight.pipelines.config.sweep import Sweep
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.report.sweep_page import write_swept
from clearsight.pipelines.runs.folder import write_json
from clearsight.pipelines.runs.sealed import complete, read_summary
from clearsight.pipelines.runs.stop_request import stop_if_asked
from clearsight.pipelines.runs.stored import to_plain
from clearsight.pipelines.runs.summary import parse_summary
from clearsight.pipelines.runs.swept import RUNS, SWEEP, Swept, SweptLine, SweptRun

TABLE, PAGE = "sweep.csv", "report.html"


def sweep(
    config: Sweep,
    *,
    text: str | None = None,
    root: Path = Path("runs"),
    workers: int = 0,
    device: str = "auto",
    backend: Backend | None = None,
    on_progress: Progress | None = None,
) -> Swept:
    """Make all runs of a sweep that are not complete, and write its table and its page.

    Args:
        config: the base and the axes.
        text: the YAML it was read from, kept verbatim.
        root: where folders are kept.
        workers: processes; 0 is one a core.
        device: ``auto``, ``cpu`` or ``cuda``.
        backend: where chunks are measured; processes of this machine where left out.
        on_progress: called with (stage, done, all).

    Raises:
        ClearsightError: a run, the images or the folder cannot be used, or it was asked to stop.
    """
    config = config.pinned()
    folder = root / f"sweep_{config.name}_{config.key()[:10]}"
    (folder / RUNS).mkdir(parents=True, exist_ok=True)
    stop = RunFolder(folder)
    stop.stop.unlink(missing_ok=True)
    if text is not None:
        replace_file(folder / "config.yaml", text.encode())
    planned = config.runs()
    runs = [SweptRun({place: in_words(value) for place, value in values.items()}) for values, _ in planned]
    metric = ""
    for number, (_, each) in enumerate(planned):
        _write_down(folder, config, runs, metric)
        stop_if_asked(stop)
        made = run(
            each,
            root=folder / RUNS,
            workers=workers,
            device=device,
            backend=backend,
            others=folder / RUNS,
            on_progress=on_progress,
        )
        runs[number] = SweptRun(runs[number].values, made.path.name)
        metric = metric or parse_summary(read_summary(made)).metrics[0]
        if on_progress:
            on_progress("sweep", number + 1, len(planned))
    lines = [line for each in runs for line in _lines(folder, each, metric)]
    out = _write_down(folder, config, runs, metric, lines)
    replace_file(folder / TABLE, _csv(out).encode())
    write_swept(folder / PAGE, out)
    return out


def in_words(value: object) -> str:
    """Return a value of an axis as a table shows it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _write_down(
    folder: Path, config: Sweep, runs: list[SweptRun], metric: str, lines: list[SweptLine] | None = None
) -> Swept:
    out = Swept(
        name=config.name,
        title=config.title or config.name,
        folder=str(folder),
        axes=list(config.axes),
        metric=metric,
        runs=runs,
        lines=lines or [],
    )
    write_json(folder / SWEEP, to_plain(out))
    return out


def _lines(folder: Path, swept: SweptRun, metric: str) -> Iterator[SweptLine]:
    summary = parse_summary(read_summary(RunFolder(folder / RUNS / swept.folder)))
    values, whole = tuple(swept.values.values()), {each.group for each in summary.aggregates}
    for each in summary.aggregates:
        if figure := each.metrics.get(metric):
            yield SweptLine(values, each.system, each.group, each.attack, each.conditions, figure)
    alone = {each.name for each in summary.conditions if not whole & set(each.groups)}
    for cell in summary.cells:
        if cell.condition in alone and (figure := cell.metrics.get(metric)):
            yield SweptLine(values, cell.system, cell.condition, cell.attack, 1, figure)


def _csv(swept: Swept) -> str:
    """Return one line a cell and metric of every run, the values of its axes first."""
    rows: list[list[object]] = []
    for each in swept.runs:
        made = RunFolder(Path(swept.folder) / RUNS / each.folder)
        head, *lines = csv.reader(io.StringIO(complete(made).read(made.summary_csv).decode()))
        rows = rows or [[*map(in_cell, swept.axes), *head, "run"]]
        rows += [[*map(in_cell, each.values.values()), *line, each.folder] for line in lines]
    return csv_text(rows)
