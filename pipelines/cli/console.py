"""What the commands share: the console and progress bars with time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def console(*, stderr: bool = False) -> Console:
    """Return a console; outside a terminal it is wide enough not to fold tables."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = max(made.width, 160)
    return made


class Bars:
    """One bar a stage, with elapsed time and time left; silent without a rich progress behind it."""

    def __init__(self, bars: Progress | None) -> None:
        """Draw on ``bars``, or on nothing."""
        self.bars = bars
        self.known: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Say how far a stage is; ``total`` is None where nobody knows."""
        if self.bars is None:
            return
        if stage not in self.known:
            self.known[stage] = self.bars.add_task(stage, total=total)
        self.bars.update(self.known[stage], completed=done, total=total)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        if self.bars is not None:
            self.bars.console.print(text, markup=False)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Bars]:
    """Yield bars on standard error."""
    if quiet:
        yield Bars(None)
        return
    from rich import progress as rich

    with rich.Progress(
        rich.TextColumn("{task.description:>10}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
        console=console(stderr=True),
    ) as bars:
        yield Bars(bars)
