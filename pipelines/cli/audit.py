"""``clearsight audit``: can the robustness that attacks find be believed?"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import TypeAdapter, ValidationError

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.spec import Number
from clearsight.data.contract.text import shown_lines
from clearsight.data.home import writable_folder
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.cli.console import console, progress
from clearsight.pipelines.report.words import radius, span

if TYPE_CHECKING:
    from rich.table import Table

    from clearsight.data.contract.estimate import Estimate
    from clearsight.pipelines.runs.audit import AuditedSystem, AuditSummary

STYLES = {"fine": "green", "suspect": "yellow", "unreliable": "red"}
UNRELIABLE, BROKEN = 1, 2
"""Exit codes other than 0, which means trustworthy."""


def command(
    config: Path,
    systems: list[str],
    *,
    take: int,
    eps: str,
    norm: str,
    out: Path,
    workers: int,
    device: str,
    quiet: bool,
) -> None:
    """Audit a config's systems, print the verdict with its reasons, and exit with its code."""
    try:
        writable_folder(out)
        path, verdict = _audit(config, systems, take, eps, norm, out, workers, device, quiet=quiet)
    except ClearsightError as error:
        sys.stderr.write(f"error: {shown_lines(str(error))}\n")
        raise typer.Exit(BROKEN) from None
    _print(path, verdict)
    if not verdict.trustworthy:
        raise typer.Exit(UNRELIABLE)


def _audit(
    config: Path,
    systems: list[str],
    take: int,
    eps: str,
    norm: str,
    out: Path,
    workers: int,
    device: str,
    *,
    quiet: bool,
) -> tuple[Path, AuditSummary]:
    radius = _number(eps)
    _, evaluate = read_evaluate(config)
    from clearsight.pipelines.audit.audit import audit

    with progress(quiet=quiet) as tell:
        folder, verdict = audit(
            evaluate,
            systems=systems,
            take=take,
            norm=norm,
            eps=radius,
            root=out,
            workers=workers,
            device=device,
            on_progress=tell,
        )
    return folder.path, verdict


def _number(text: str) -> float:
    try:
        return float(TypeAdapter(Number).validate_python(text))
    except ValidationError:
        raise ConfigError(f"'{text}' is not a number", where="--eps", hint="write 0.03 or 8/255") from None


def _print(path: Path, audit: AuditSummary) -> None:
    from rich.text import Text

    from clearsight.pipelines.cli.left_out import tell_left_out

    screen = console()
    for system in audit.systems:
        colour = "green" if system.verdict == "trustworthy" else "red"
        screen.print(Text.assemble((system.system, "bold"), ": ", (system.verdict, colour), " figures"))
        screen.print(_accuracies(system, audit), markup=False)
        screen.print(_table(system))
    tell_left_out(partial(screen.print, markup=False, soft_wrap=True), [RunFolder(path)])
    screen.print(f"verdict: {_meaning(audit)}", markup=False, soft_wrap=True)
    screen.print(f"report: {RunFolder(path).report}", markup=False, soft_wrap=True)


def _accuracies(system: AuditedSystem, audit: AuditSummary) -> str:
    accuracies = {
        "clean": system.clean,
        "worst case": system.worst,
        "not knowing the restorers": system.oblivious,
        "without the restorers": system.undefended_worst,
    }
    shown = [f"{name} {_share(accuracy)}" for name, accuracy in accuracies.items() if accuracy]
    return f"  {radius(audit.norm, audit.eps)}, {audit.images} images: " + ", ".join(shown)


def _share(accuracy: Estimate) -> str:
    interval = span(accuracy.low, accuracy.high, "accuracy")
    return f"{100 * accuracy.value:.1f} %" + (f" [{interval}]" if interval else "")


def _meaning(audit: AuditSummary) -> str:
    """Return what the verdict means for quoting a figure."""
    if audit.trustworthy:
        return (
            "trustworthy: no check speaks against the attacks; the worst case may be quoted, with its"
            " interval, as what these attacks left"
        )
    return (
        "unreliable: the reasons above say which attacked figures must not be quoted as robustness; the worst"
        " case is an upper bound of it"
    )


def _table(system: AuditedSystem) -> Table:
    """Return the reasons, worst first; checks that found nothing are counted only."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=True)
    for heading in ("  verdict", "check", "attack", "reason"):
        table.add_column(heading, overflow="fold")
    against = [check for check in system.checks if check.verdict != "fine"]
    attacks: dict[tuple[str, str, str], list[str]] = {}
    for check in sorted(against, key=lambda check: check.verdict != "unreliable"):
        reason = (check.verdict, check.check, check.words)
        attacks.setdefault(reason, []).extend([check.attack] if check.attack else [])
    for (verdict, name, words), by in attacks.items():
        more = f" and {len(by) - 1} more" if len(by) > 1 else ""
        styled = Text(f"  {verdict}", style=STYLES[verdict])
        table.add_row(styled, name, f"{by[0]}{more}" if by else "", Text(words))
    fine = len(system.checks) - len(against)
    table.add_row(Text("  fine", style="green"), f"{fine} checks", "", "")
    return table
