"""`Executor`: where units of work are done. No other package opens a pool of processes or talks to a cluster.

A job is what all units have in common and is sent to each process once; a unit says which part of it to do.
Results must not depend on the executor, nor on the order in which units finish.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from clearsight.data.disk import Change, Disk, SentDisk

J = TypeVar("J")
U = TypeVar("U")
R = TypeVar("R")
T = TypeVar("T")

AHEAD = 2
"""Units submitted per worker in advance; a future for each of a million units would fill the memory."""


@dataclass(frozen=True)
class Parcel:
    """A unit with all that it needs, for a worker that does not see the driver's disk.

    Attributes:
        unit: what is to be done.
        key: of what ``load`` returns; equal keys stand for equal values.
        load: returns what several units share, such as the images of a chunk; None: the worker reads them.
            Called in the driver, and only where the value of this key is not at hand any more.
        files: path -> content of files that this unit reads; small.
    """

    unit: Any
    key: Hashable
    load: Callable[[], Any]
    files: dict[Path, bytes]


@dataclass(frozen=True)
class Sent:
    """What came with a unit to a worker that does not see the driver's disk.

    Attributes:
        shared: what ``Parcel.load`` returned.
        files: those of the parcel.
        post: sends a change of a file to the driver, before the unit ends.
    """

    shared: Any
    files: dict[Path, bytes]
    post: Callable[[Change], None]

    @property
    def disk(self) -> Disk:
        """Return the driver's disk as this worker sees it."""
        return SentDisk(self.files, self.post)


def shared_by(sent: Sent | None, read: Callable[[], T]) -> T:
    """Return what units share: what came with this one, or what this worker reads itself."""
    if sent is None or sent.shared is None:
        return read()
    shared: T = sent.shared
    return shared


class Do(Protocol):
    """Does one unit; ``sent`` is what came with it where the worker does not see the driver's disk."""

    def __call__(self, unit: Any, sent: Sent | None = None) -> Any:
        """Return the unit's result."""


class Executor(Protocol):
    """Does units of work, in this process or elsewhere."""

    shares_disk: ClassVar[bool]
    """Whether its workers see the files of this machine. Else they are sent a `Parcel` instead of a unit, and
    the files that they change are changed here as soon as they post it."""

    def map(
        self,
        start: Callable[[J], Callable[..., R]],
        job: J,
        units: Iterable[U],
        pack: Callable[[U], Parcel] | None = None,
    ) -> Generator[tuple[U, R], None, None]:
        """Yield every unit with its result as it finishes.

        Close the generator when something goes wrong in between: a traceback would keep it and its processes
        alive.

        Args:
            start: makes, from the job, the function that does one unit (`Do`); called once in each process.
            job: what all units have in common.
            units: consumed lazily, so a generator will do.
            pack: makes the parcel of a unit, where workers do not share the disk; called for every try.
                Left out, a unit needs nothing but itself.

        Raises:
            Exception: what a unit raised; units that have not begun are dropped.
        """
