"""``clearsight sense``: what is wrong with images."""

from __future__ import annotations

import csv as tables
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.text import cell, shown
from clearsight.data.home import replace_file
from clearsight.pipelines.cli.console import NAMED, console, progress, tell_passed_over
from clearsight.pipelines.cli.results import results_file
from clearsight.restore.sense_base import DAMAGE

if TYPE_CHECKING:
    from clearsight.pipelines.advice.readings import Reading


def command(
    images: str, weights: str, *, csv: Path | None, take: int | None, device: str, quiet: bool
) -> None:
    """Print what is wrong with the first images and with all together, and write the table."""
    from clearsight.pipelines.advice.api import sense_images

    table = None if csv is None else results_file(csv, (images, weights), "--csv")
    with progress(quiet=quiet) as bars:
        found = sense_images(images, weights=weights, take=take, device=device, on_progress=bars)
    screen = console()
    for reading in found.readings[:NAMED]:
        told = ", ".join(
            f"{kind} {reading.severity[kind]:.0f}/5 ({100 * reading.presence[kind]:.0f} %)"
            for kind in reading.named
        )
        noise = f", noise level {255 * reading.noise_level:.0f}/255" if "noise" in reading.named else ""
        screen.print(shown(f"{reading.id}: {told or 'nothing'}{noise}"), soft_wrap=True)
    if (more := len(found.readings) - NAMED) > 0:
        screen.print(f"... and {more} more" + ("" if table else " (--csv FILE lists all)"))
    for skipped in found.skipped:
        screen.print(shown(f"skipped {skipped.id}: {skipped.reason}"), soft_wrap=True)
    tell_passed_over(lambda line: screen.print(shown(line), soft_wrap=True), found.passed_over)
    count = len(found.readings)
    for kind in DAMAGE:
        named = sum(kind in reading.named for reading in found.readings)
        screen.print(f"{kind:>14}: {named} of {count}")
    screen.print(f"{'nothing':>14}: {sum(not reading.named for reading in found.readings)} of {count}")
    if table is not None:
        replace_file(table, _table(found.readings))
        screen.print(shown(f"table: {table}"), soft_wrap=True)
    if found.skipped:
        raise DataError(f"{len(found.skipped)} images could not be used", where=images)


def _table(readings: Sequence[Reading]) -> bytes:
    """Return the CSV: id, what is named, noise level, then probability and severity of each kind."""
    text = io.StringIO(newline="")
    writer = tables.writer(text)
    columns = [f"{kind}_{what}" for kind in DAMAGE for what in ("probability", "severity")]
    writer.writerow(["id", "named", "noise_level", *columns])
    for reading in readings:
        numbers = [each[kind] for kind in DAMAGE for each in (reading.presence, reading.severity)]
        row = [f"{number:.4f}" for number in (reading.noise_level, *numbers)]
        writer.writerow([cell(shown(reading.id)), " ".join(reading.named), *row])
    return text.getvalue().encode()
