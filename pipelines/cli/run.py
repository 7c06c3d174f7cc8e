"""``clearsight run`` and ``clearsight report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.text import shown_lines
from clearsight.data.home import is_address, writable_folder
from clearsight.data.remote.outlet import outlet
from clearsight.data.remote.store import joined
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.cli.console import console, progress

if TYPE_CHECKING:
    from clearsight.data.executors.choice import Backend


def command(
    config: Path,
    out: str,
    *,
    workers: int,
    device: str,
    fresh: bool,
    quiet: bool,
    backend: Backend,
    pin_kind: bool,
) -> None:
    """Run a config and print its table and where the report is."""
    document, evaluate = read_evaluate(config)
    if not is_address(out):
        writable_folder(Path(out))
    from clearsight.pipelines.evaluation.run import run

    # Run folders are called <date>_<name>_<key>.
    with (
        outlet(out, lambda name: f"_{evaluate.name}_" in name.partition("/")[0]) as root,
        progress(quiet=quiet) as tell,
    ):
        folder = run(
            evaluate,
            text=document.text,
            root=root,
            workers=workers,
            device=device,
            fresh=fresh,
            backend=backend,
            pin_kind=pin_kind,
            on_progress=tell,
        )
    _print(folder.path)
    if is_address(out):
        console().print(f"sent to: {joined(out, folder.path.name)}", markup=False, soft_wrap=True)


def report_command(
    path: Path, *, markdown: bool, into: Path | None = None, further: Sequence[str] = ()
) -> None:
    """Write ``report.html`` of a run folder again and print its table.

    Args:
        path: the run folder.
        markdown: print Markdown tables instead.
        into: write the tables into this document instead, between the comments of the run.
        further: metrics, besides accuracy, that get a Markdown table.

    Raises:
        ConfigError: ``into`` or ``further`` without ``markdown``, or a metric that was not measured.
        RunError: the run cannot be read, or the document has no place for it.
    """
    from clearsight.pipelines.report.markdown import markdown as tables
    from clearsight.pipelines.report.page import renew_report
    from clearsight.pipelines.report.provenance import write_into
    from clearsight.pipelines.runs.sealed import read_summary

    if into is not None and not markdown:
        raise ConfigError("--into writes Markdown", where="--into", hint="add --markdown")
    if further and not markdown:
        raise ConfigError("adds tables to Markdown", where="--metric", hint="add --markdown")
    folder = RunFolder(path)
    if folder.resolved.is_file() and not folder.done.is_file():
        if into is not None:
            raise RunError("is not finished", where=str(path), hint="run the same config again to go on")
        _unfinished(folder, markdown=markdown, further=further)
        return
    renew_report(path)
    if into is not None:
        write_into(into, folder, read_summary(folder), further)
    elif markdown:
        sys.stdout.write(shown_lines(tables(read_summary(folder), further)))
    else:
        _print(path)


def _unfinished(folder: RunFolder, *, markdown: bool, further: Sequence[str]) -> None:
    """Print how far a run got, and the figures of the cells that are measured."""
    from clearsight.pipelines.evaluation.unfinished import so_far
    from clearsight.pipelines.report.markdown import markdown as tables
    from clearsight.pipelines.report.page import write_report
    from clearsight.pipelines.report.terminal import headline

    status = so_far(folder)
    done, content = len(status.summary.cells), status.summary.to_json()
    console(stderr=True).print(
        f"unfinished: {done} of {status.cells} cells are measured"
        f" ({status.chunks} of {status.all_chunks} chunks); run the same config again to go on",
        markup=False,
        soft_wrap=True,
    )
    if not done:
        return
    write_report(folder.path, summary=content)
    if markdown:
        sys.stdout.write(shown_lines(tables(content, further)))
        return
    screen = console()
    screen.print(headline(content))
    screen.print(f"report: {folder.report}", markup=False, soft_wrap=True)


def _print(path: Path) -> None:
    from clearsight.pipelines.cli.left_out import tell_left_out
    from clearsight.pipelines.report.terminal import certificates, headline
    from clearsight.pipelines.runs.sealed import read_summary

    screen, summary = console(), read_summary(RunFolder(path))
    screen.print(headline(summary))
    for table in certificates(summary):
        screen.print(table)
    tell_left_out(partial(screen.print, markup=False, soft_wrap=True), [RunFolder(path)])
    screen.print(f"report: {RunFolder(path).report}", markup=False, soft_wrap=True)
