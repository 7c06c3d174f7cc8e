"""``clearsight infer``: a deployed file on images and videos."""

from __future__ import annotations

import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.text import shown
from clearsight.data.home import expanded
from clearsight.data.media.listing import protect
from clearsight.pipelines.cli.console import Bars, progress, tell_passed_over
from clearsight.pipelines.inference.providers import check_provider, lack, short_name
from clearsight.pipelines.inference.table import Lines, Table, record_of

if TYPE_CHECKING:
    from clearsight.pipelines.inference.infer import Outcome
    from clearsight.pipelines.inference.session import Session

MOST_NOTES = 3
"""Most notes with the same text that are printed; further ones are counted."""


def command(
    model: Path,
    source: str,
    *,
    csv: Path | None,
    restored: Path | None,
    top: int,
    provider: str,
    threads: int | None,
    batch: str,
    size: int | None,
    resume: bool | None,
    quiet: bool,
) -> None:
    """Put files through a deployed network and name every one that could not be used."""
    check_provider(provider)
    most = _batch(batch)
    if resume is not None and csv is None:
        raise ConfigError("continues a CSV file", where="--resume", hint="give --csv too")
    from clearsight.pipelines.inference.beside import columns_beside
    from clearsight.pipelines.inference.compute import Computer
    from clearsight.pipelines.inference.infer import Inference
    from clearsight.pipelines.inference.inputs import wanted
    from clearsight.pipelines.inference.items import find, targets
    from clearsight.pipelines.inference.session import Session

    session = Session(model, provider, threads)
    want = wanted(session.deployed, size)
    top = _top(session, top, csv, restored)
    items, passed_over = find(source, restored)
    goals = {} if restored is None else targets(items, expanded(restored))
    protect([model], goals.values(), "give another DIR")
    with ExitStack() as opened:
        sink: Table | Lines = Lines(sys.stdout)
        if csv is not None:
            table = expanded(csv)
            inputs = (model, *(item.source for item in items), *goals.values())
            protect(inputs, (table, record_of(table)), "give another --csv")
            mode = {None: "new", True: "resume", False: "fresh"}[resume]
            said = columns_beside(session.deployed)
            rows = Table(table, _key(session, size, most), top, mode=mode, beside=said)
            sink = opened.enter_context(closing(rows))
        left = [item for item in items if item.name not in sink.held or _missing(goals.get(item.name))]
        began = time.perf_counter()
        with progress(quiet=quiet) as bars:
            say = _Said(bars)
            computer = Computer(session, top=top, batch=most, images=bool(goals))
            outcome = Inference(computer, want, sink, goals, say, bars).all(left)
    say.rest()
    tell_passed_over(lambda line: sys.stderr.write(f"{shown(line)}\n"), passed_over)
    if not quiet:
        _closing(session, provider, outcome, len(items) - len(left), time.perf_counter() - began)
    if outcome.failed:
        raise DataError(f"{outcome.failed} of {len(items)} files could not be used", where=source)


class _Said:
    """Prints all failures, and notes up to `MOST_NOTES` with the same text."""

    def __init__(self, bars: Bars) -> None:
        self.bars, self.notes = bars, Counter[str]()

    def __call__(self, name: str, text: str, failed: bool) -> None:
        if not failed:
            if self.bars.bars is None:
                return
            self.notes[text] += 1
            if self.notes[text] > MOST_NOTES:
                return
        self._line(f"{'failed' if failed else 'note'} {shown(name)}: {shown(text)}")

    def rest(self) -> None:
        """Print how many notes were left out."""
        for text, count in self.notes.items():
            if count > MOST_NOTES:
                # The bars are gone by now.
                sys.stderr.write(f"note {count - MOST_NOTES} more: {shown(text)}\n")

    def _line(self, line: str) -> None:
        if self.bars.bars is not None:
            self.bars.bars.console.print(line, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(line + "\n")


def _batch(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(
        f"'{text}' is not a batch size", where="--batch", hint="write auto or a number such as 8"
    )


def _top(session: Session, top: int, csv: Path | None, restored: Path | None) -> int:
    """Return how many classes a row has, and refuse calls that would have no result."""
    deployed = session.deployed
    if restored is not None and deployed.output("image") is None:
        raise ConfigError("the file gives no images", where="--save-restored")
    if restored is None and csv is None and deployed.output("logits") is None:
        raise ConfigError("gives images only", where=str(session.path), hint="give --save-restored DIR")
    if deployed.output("logits") is None:
        return 0
    return min(top, len(deployed.classes)) if deployed.classes else top


def _key(session: Session, size: int | None, batch: int | None) -> str:
    """Return the key of all that decides the rows."""
    from clearsight.data.weights import digest

    return f"{digest(session.path)} {size} {batch} {session.providers[0]}"


def _missing(target: Path | None) -> bool:
    return target is not None and not target.exists()


def _closing(session: Session, provider: str, outcome: Outcome, held: int, seconds: float) -> None:
    """Print what was done, how fast, and on which provider."""
    place = short_name(session.providers[0])
    missing = lack(provider, place)
    where = f"{place} ({missing})" if missing else place
    before = f", {held} were there" if held else ""
    rate = (outcome.made + outcome.failed) / max(seconds, 1e-9)
    sys.stderr.write(
        f"{outcome.made} done{before}, {outcome.failed} failed, {rate:.1f} a second on {where}\n"
    )
