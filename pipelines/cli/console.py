"""What the commands share: the console, and progress bars with the remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from clearsight.data.contract.text import duration, shown_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

EVERY = 30.0
"""Seconds between two lines of a stage where there is no terminal."""
NAMED = 20
"""Files of a kind that are named on the terminal; the others are counted."""


class Passed(Protocol):
    """A file that is not used."""

    @property
    def id(self) -> str:
        """Return its name."""

    @property
    def reason(self) -> str:
        """Return why."""


def console(*, stderr: bool = False) -> Console:
    """Return a console; outside a terminal it is at least 160 columns wide, so that tables are not folded.

    Names of files, classes and parts are untrusted: markup in them is not interpreted, and control
    characters are shown as escapes.
    """
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Guarded(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else shown_lines(text), style, control)

    made = Guarded(stderr=stderr, highlight=False, soft_wrap=False, markup=False)
    if not made.is_terminal:
        made.width = max(made.width, 160)
    return made


def tell_skipped(say: Callable[[str], object], skipped: Sequence[Passed], rest: str) -> None:
    """Name images that could not be used, one a line, and count those beyond `NAMED`.

    Args:
        say: prints a line.
        skipped: the images.
        rest: file that lists all of them.
    """
    if more := _tell(say, "skipped", skipped):
        say(f"... and {more} more: {rest}")


def tell_passed_over(say: Callable[[str], object], passed_over: Sequence[Passed], rest: str = "") -> None:
    """Name files that are not used, one a line, and count those beyond `NAMED`.

    Args:
        say: prints a line.
        passed_over: the files.
        rest: file that lists all of them; empty for none.
    """
    if more := _tell(say, "passed over", passed_over):
        say(f"... and {more} more passed over" + (f": {rest}" if rest else ""))


def _tell(say: Callable[[str], object], what: str, files: Sequence[Passed]) -> int:
    """Name files up to `NAMED`; return how many there are beyond."""
    for file in files[:NAMED]:
        say(f"{what} {file.id}: {file.reason}")
    return max(0, len(files) - NAMED)


class Bars:
    """One bar per stage, with elapsed and remaining time; silent where ``bars`` is None."""

    def __init__(self, bars: Progress | None) -> None:
        """Draw on ``bars``, or on nothing."""
        self.bars = bars
        self.known: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Update the bar of a stage; ``total`` is None where unknown."""
        if self.bars is None:
            return
        if stage not in self.known:
            self.known[stage] = self.bars.add_task(stage, total=total)
        self.bars.update(self.known[stage], completed=done, total=total)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        if self.bars is not None:
            self.bars.console.print(text, markup=False)


class Lines(Bars):
    """One line per stage every half minute, and one at its end: for log files, where bars are no use."""

    def __init__(self, say: Callable[[str], object], clock: Callable[[], float] = monotonic) -> None:
        """Say lines by ``say``; ``clock`` tells seconds."""
        super().__init__(None)
        self.say, self.clock = say, clock
        self.begun: dict[str, tuple[float, int]] = {}
        self.told: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Say how far a stage is, where the last line is half a minute old, or the stage at its end."""
        now = self.clock()
        begun, first = self.begun.setdefault(stage, (now, done))
        since = self.told.setdefault(stage, now)
        ended = total is not None and done >= total
        if since == inf or (not ended and now - since < EVERY):
            return
        self.told[stage] = inf if ended else now
        gone, made = now - begun, done - first
        line = f"{stage}: {done}" if total is None else f"{stage}: {done} of {total}"
        line += f", {duration(gone)} gone"
        if total is not None and made > 0 and not ended:
            line += f", about {duration(gone / made * (total - done))} to go"
        self.say(line)

    def note(self, text: str) -> None:
        """Say a line."""
        self.say(text)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Bars]:
    """Yield bars on standard error, or lines where that is no terminal (a log file, a pipe)."""
    if quiet:
        yield Bars(None)
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield Lines(partial(screen.print, markup=False, soft_wrap=True))
        return
    from rich import progress as rich

    with rich.Progress(
        rich.TextColumn("{task.description:>10}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
        console=screen,
    ) as bars:
        yield Bars(bars)
