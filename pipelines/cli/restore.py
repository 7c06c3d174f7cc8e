"""``clearsight restore``: images and videos through a chain of restorers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.text import shown
from clearsight.data.home import expanded
from clearsight.pipelines.cli.console import Bars, console, progress, tell_passed_over
from clearsight.pipelines.restoring.chain import Chain, read_chain
from clearsight.pipelines.restoring.plan import read_plan

if TYPE_CHECKING:
    from clearsight.pipelines.restoring.worker import Worker
    from clearsight.restore.tiling.tiling import Tile


def command(
    source: str,
    out: Path,
    words: str,
    *,
    sigma: str | None,
    tile: str,
    device: str,
    fresh: bool,
    quiet: bool,
) -> None:
    """Restore files and name every one that could not be used."""
    side = _side(tile)
    plan = read_plan(source, expanded(out))
    chain = read_chain(words, sigma)
    from clearsight.pipelines.restoring.job import restore_files

    with progress(quiet=quiet) as bars:
        outcome = restore_files(
            plan,
            chain,
            lambda: _worker(chain, side, device, bars, quiet=quiet),
            fresh=fresh,
            on_progress=bars,
        )
    tell_passed_over(_print, plan.passed_over)
    for name, note in outcome.notes:
        _print(f"note {name}: {note}")
    for name, reason in outcome.failed:
        _print(f"skipped {name}: {reason}")
    before = f", {outcome.kept} were there" if outcome.kept else ""
    _print(f"{out}: {outcome.made} restored{before}")
    if outcome.failed:
        raise DataError(f"{len(outcome.failed)} of {len(plan.items)} files could not be used", where=source)


def _print(line: str) -> None:
    # Names of files may hold bytes that are not text.
    console().print(shown(line), soft_wrap=True)


def _worker(chain: Chain, tile: Tile, device: str, bars: Bars, *, quiet: bool) -> Worker:
    from clearsight.pipelines.restoring.worker import Worker
    from clearsight.pipelines.systems.device import choose_device

    return Worker(chain, tile, choose_device(device), None if quiet else bars.note)


def _side(text: str) -> Tile:
    if text == "auto":
        return "auto"
    if text == "none":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(f"'{text}' is not a tile size", where="--tile", hint="write auto, none or 512")
