"""``clearsight advise``: whether restoration would help a classifier with a folder of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.text import shown
from clearsight.data.home import replace_file
from clearsight.pipelines.cli.console import console, progress, tell_passed_over
from clearsight.pipelines.cli.results import results_file

if TYPE_CHECKING:
    from clearsight.pipelines.advice.advise import Advice

FIGURES = {
    "labels": "accuracy on these images",
    "agreement": "agreement with the answers on undamaged images, which were damaged as the others are",
}


def command(
    images: str,
    classifier: str,
    restorers: Sequence[str] | None,
    weights: str,
    *,
    take: int,
    size: int | None,
    out: Path | None,
    device: str,
    quiet: bool,
) -> None:
    """Print the advice with what it rests on, and write it as JSON."""
    from clearsight.pipelines.advice.api import advise

    written = None if out is None else results_file(out, (images, classifier, weights), "--out")
    with progress(quiet=quiet) as bars:
        found = advise(
            images,
            classifier,
            restorers=restorers or None,
            weights=weights,
            take=take,
            size=size,
            device=device,
            on_progress=bars,
        )
    _print(found)
    if written is not None:
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        replace_file(written, (text + "\n").encode())
        console().print(shown(f"advice: {written}"), soft_wrap=True)


def _print(found: Advice) -> None:
    from rich.table import Table

    screen = console()
    named = [each for each in found.damage if each.share > 0]
    screen.print(f"{found.images} images, noise level {255 * found.noise_level:.1f}/255 in the middle")
    for each in named:
        mark = "*" if each.there else " "
        screen.print(
            f"{mark} {each.kind}: {100 * each.share:.0f} % [{100 * each.low:.0f}, {100 * each.high:.0f}]"
            f" of the images, severity {each.severity:.1f} of 5"
        )
    if not named:
        screen.print("  no damage named")
    if found.alone is not None:
        screen.print(f"{FIGURES[found.how]}: {100 * found.alone:.1f} % without restoration")
        table = Table(box=None, pad_edge=False)
        for heading in ("chain", "%", "points", "95 % interval", "ms an image"):
            table.add_column(heading, justify="left" if heading == "chain" else "right")
        for tried in found.measured:
            table.add_row(
                tried.name,
                f"{100 * tried.share:.1f}",
                f"{100 * tried.difference:+.1f}",
                f"{100 * tried.low:+.1f} to {100 * tried.high:+.1f}",
                f"{tried.milliseconds:.1f}",
            )
        screen.print(table)
    for skipped in found.skipped:
        screen.print(shown(f"skipped {skipped.id}: {skipped.reason}"), soft_wrap=True)
    tell_passed_over(lambda line: screen.print(shown(line), soft_wrap=True), found.passed_over)
    screen.print(shown(f"{found.verdict}: {found.why}"), soft_wrap=True)
    if found.config:
        screen.print(found.config)
