"""Looks at every image once before a run: which can be used, which not and why, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.corruptions.base import MINIMUM
from clearsight.data.sources.base import Entry, Source, middle_side

if TYPE_CHECKING:
    from clearsight.pipelines.config.conditions import Condition
    from clearsight.pipelines.metrics.base import Measurement
    from clearsight.pipelines.systems.system import System

STEP = 256


@dataclass(frozen=True)
class Intake:
    """The images of a run.

    Attributes:
        entries: those that can be used, in stored order.
        classes: class names of the source, may be empty.
        skipped: those that cannot, with reasons.
        digests: what each of them holds, as `clearsight.data.sources.base.Source.digests` says.
        fingerprint: content key of these images.
        sizes: (height, width) -> how many.
        passed_over: files beside the images that are not used, with reasons.
    """

    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    digests: tuple[str, ...]
    fingerprint: str
    sizes: Mapping[tuple[int, int], int]
    passed_over: tuple[Skipped, ...] = ()

    @property
    def labelled(self) -> bool:
        """Return whether every image has a label."""
        return all(entry.truth is not None for entry in self.entries)

    @property
    def boxed(self) -> bool:
        """Return whether the true boxes of every image are known."""
        return all(entry.boxes is not None for entry in self.entries)

    @property
    def side(self) -> float:
        """Return the median of the images' shorter sides in pixels."""
        return middle_side(self.sizes)

    def describe_size(self) -> str:
        """Return ``64x64`` or ``32x32 to 480x640`` (height x width)."""
        low, high = min(self.sizes), max(self.sizes)
        text = f"{low[0]}x{low[1]}"
        return text if low == high else f"{text} to {high[0]}x{high[1]}"


def _none(_entries: Sequence[Entry]) -> Mapping[str, str]:
    return {}


def smallest_side(
    systems: Iterable[System], conditions: Iterable[Condition], measurements: Iterable[Measurement] = ()
) -> int:
    """Return the smallest height and width that systems, conditions and measurements can all use."""
    corrupting = any(not condition.corruption.clean for condition in conditions)
    needs = [part.minimum for system in systems for part in system.classifiers]
    needs += [measurement.minimum for measurement in measurements]
    return max([1, *needs] + [MINIMUM] * corrupting)


def take_in(
    source: Source,
    *,
    minimum: int,
    lacking: Callable[[Sequence[Entry]], Mapping[str, str]] = _none,
    on_progress: Callable[[int, int], None] | None = None,
) -> Intake:
    """Read every image once.

    Args:
        source: where they come from.
        minimum: smallest height and width that the conditions and parts can use.
        lacking: says of images by id why a condition cannot be made of them; those are skipped.
        on_progress: called with (done, all).

    Raises:
        DataError: there is no image that can be used.
    """
    index = source.index()
    without = lacking(index.entries)
    usable: list[Entry] = []
    skipped: list[Skipped] = []
    sizes: dict[tuple[int, int], int] = {}
    for start in range(0, len(index.entries), STEP):
        entries = index.entries[start : start + STEP]
        for entry, sample in zip(entries, source.read(entries), strict=True):
            verdict = _judge(sample, minimum)
            if entry.id in without and isinstance(verdict, Sample):
                verdict = Skipped(entry.id, without[entry.id])
            if isinstance(verdict, Skipped):
                skipped.append(verdict)
                continue
            usable.append(entry)
            height, width = verdict.image.shape[:2]
            sizes[height, width] = sizes.get((height, width), 0) + 1
        if on_progress:
            on_progress(min(start + STEP, len(index.entries)), len(index.entries))
    if not usable:
        first = f" (the first: {skipped[0].id}: {skipped[0].reason})" if skipped else ""
        raise DataError(f"none of {len(index.entries)} images can be used{first}", where="data")
    digests = source.digests(usable)
    key = source.fingerprint(usable, digests)
    return Intake(tuple(usable), index.classes, tuple(skipped), digests, key, sizes, index.passed_over)


def _judge(sample: Sample | Skipped, minimum: int) -> Sample | Skipped:
    if isinstance(sample, Sample) and min(sample.image.shape[:2]) < minimum:
        height, width = sample.image.shape[:2]
        return Skipped(sample.id, f"{height}x{width} pixels: the run needs at least {minimum}x{minimum}")
    return sample
