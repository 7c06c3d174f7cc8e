"""``clearsight bench``: exported files against each other, in one run."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.text import shown
from clearsight.data.home import replace_file
from clearsight.pipelines.cli.console import console
from clearsight.pipelines.cli.results import results_file
from clearsight.pipelines.inference.providers import check_provider, lack, short_name

if TYPE_CHECKING:
    from clearsight.pipelines.inference.bench import Machine, Row
    from clearsight.pipelines.inference.session import Session

HEADS = ("file", "image", "batch", "p50 ms", "p95 ms", "images/s", "speed [95 %]", "calls")


def command(
    models: Sequence[Path],
    sizes: str,
    *,
    batch: int,
    seconds: float,
    provider: str,
    threads: int | None,
    json: Path | None,
) -> None:
    """Time files side by side and print a table; the others are compared with the first."""
    check_provider(provider)
    from clearsight.pipelines.inference import bench
    from clearsight.pipelines.inference.session import Session

    shapes = bench.parse_sizes(sizes)
    target = None if json is None else results_file(json, models, "--json")
    # The load is read first: opening the files adds to it.
    machine = bench.here()
    named = zip(bench.labels(models), models, strict=True)
    sessions = {label: Session(path, provider, threads) for label, path in named}
    _refuse_useless(sessions, shapes)
    _open(machine, sessions, threads, provider)
    rows: list[Row] = []
    for height, width in shapes:
        rows += bench.measure(sessions, height, width, batch=batch, seconds=seconds, note=_note)
    if not rows:
        raise RunError("no file could be run at these sizes", where="--sizes")
    _print(rows)
    if target is not None:
        files = {label: _told(session) for label, session in sessions.items()}
        figures = bench.told(
            machine, rows, threads=threads or machine.cores, wanted_provider=provider, files=files
        )
        replace_file(target, (json_.dumps(figures, indent=1) + "\n").encode())


def _refuse_useless(sessions: Mapping[str, Session], shapes: Sequence[tuple[int, int]]) -> None:
    from clearsight.pipelines.inference.bench import fits
    from clearsight.pipelines.inference.session import sizes

    if not any(fits(session, *shape) for session in sessions.values() for shape in shapes):
        taken = "; ".join(f"{label} takes {sizes(each.deployed)}" for label, each in sessions.items())
        raise ConfigError("no file takes any of these sizes", where="--sizes", hint=taken)


def _open(machine: Machine, sessions: Mapping[str, Session], threads: int | None, provider: str) -> None:
    """Print the machine, the settings and the files, and what may distort the figures."""
    cores = "core" if machine.cores == 1 else "cores"
    sets = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    _say(f"{machine.processor}{sets}, {machine.cores} {cores}, {machine.system}")
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    _say(f"{versions}; threads {threads or machine.cores}, load at the start {machine.load:.1f}")
    if machine.warning:
        _say(f"warning: {machine.warning}")
    for label, session in sessions.items():
        used = short_name(session.providers[0])
        missing = lack(provider, used)
        where = f"{used} ({missing})" if missing else used
        _say(f"{label}: {session.deployed.variant}, {session.deployed.chain}, on {where}")


def _say(line: str) -> None:
    console().print(line, markup=False, soft_wrap=True)


def _note(line: str) -> None:
    sys.stderr.write(f"note {shown(line)}\n")


def _print(rows: Sequence[Row]) -> None:
    from rich.table import Table

    table = Table()
    for at, head in enumerate(HEADS):
        table.add_column(head, justify="left" if at == 0 else "right")
    for before, row in zip((None, *rows), rows, strict=False):
        if before is not None and (before.height, before.width) != (row.height, row.width):
            table.add_section()
        speed = row.speed
        ratio = ""
        if speed.ratio is not None and speed.interval is not None:
            low, high = speed.interval
            ratio = f"{speed.ratio:.2f}x [{low:.2f}, {high:.2f}]"
        table.add_row(
            row.file,
            f"{row.width}x{row.height}",
            str(row.batch),
            f"{speed.p50:.2f}",
            f"{speed.p95:.2f}",
            f"{speed.rate:.1f}",
            ratio,
            str(speed.calls),
        )
    console().print(table)


def _told(session: Session) -> dict[str, object]:
    """Return what describes a file, for the JSON of the figures."""
    from clearsight.data.weights import digest

    deployed = session.deployed
    return {
        "path": str(session.path),
        "sha256": digest(session.path),
        "variant": deployed.variant,
        "chain": deployed.chain,
        "providers": list(session.providers),
    }
