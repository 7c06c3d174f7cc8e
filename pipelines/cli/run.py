"""``clearsight run`` and ``clearsight report``."""

from __future__ import annotations

import sys
from pathlib import Path

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.cli.console import console, progress


def command(config: Path, out: Path, *, workers: int, device: str, fresh: bool, quiet: bool) -> None:
    """Run a config and print its table and where the report is."""
    document, evaluate = read_evaluate(config)
    writable_folder(out)
    from clearsight.pipelines.evaluation.run import run

    with progress(quiet=quiet) as tell:
        folder = run(
            evaluate,
            text=document.text,
            root=out,
            workers=workers,
            device=device,
            fresh=fresh,
            on_progress=tell,
        )
    _print(folder.path)


def report_command(path: Path, *, markdown: bool) -> None:
    """Write ``report.html`` of a run folder again and print its table."""
    from clearsight.pipelines.report.markdown import markdown as tables
    from clearsight.pipelines.report.page import write_report
    from clearsight.pipelines.runs.folder import read_json

    summary = read_json(RunFolder(path).summary)
    write_report(path)
    if markdown:
        sys.stdout.write(tables(summary))
    else:
        _print(path)


def _print(path: Path) -> None:
    from clearsight.pipelines.report.terminal import headline
    from clearsight.pipelines.runs.folder import read_json
    from clearsight.pipelines.runs.summary import parse_summary

    content = read_json(RunFolder(path).summary)
    summary = parse_summary(content)
    screen = console()
    screen.print(headline(content))
    skipped = summary.data.skipped
    for item in skipped[:20]:
        screen.print(f"skipped {item.id}: {item.reason}", markup=False)
    if len(skipped) > 20:
        screen.print(f"... and {len(skipped) - 20} more: {RunFolder(path).skipped}", markup=False)
    for warning in summary.warnings:
        screen.print(f"warning: {warning}", markup=False)
    screen.print(f"report: {RunFolder(path).report}", markup=False, soft_wrap=True)
