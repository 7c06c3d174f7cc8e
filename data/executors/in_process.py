"""One unit after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import ClassVar

from clearsight.data.executors.contract import J, Parcel, R, U


class InProcess:
    """Does one unit after the other, in this process."""

    shares_disk: ClassVar[bool] = True

    def map(
        self,
        start: Callable[[J], Callable[..., R]],
        job: J,
        units: Iterable[U],
        pack: Callable[[U], Parcel] | None = None,
    ) -> Generator[tuple[U, R], None, None]:
        """Yield every unit with its result, in order; units are not packed."""
        work = start(job)
        for unit in units:
            yield unit, work(unit)
