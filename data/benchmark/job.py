"""What the processes that write a benchmark tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.corruptions.base import Corruption
from clearsight.data.seals import stored
from clearsight.data.sources.base import Entry, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


CHUNK = 16
"""Images per unit; the output does not depend on it."""


@dataclass(frozen=True)
class CorruptJob:
    """What every unit needs to know; sent once to each process."""

    source: Source
    out: Path
    corruptions: tuple[Corruption, ...]
    seed: int
    layout: str
    image_format: str
    classes: tuple[str, ...]
    """Empty where there are no labels."""
    finished: frozenset[str] = frozenset()
    """Kinds whose arrays an earlier call put together."""


@dataclass(frozen=True)
class CorruptUnit:
    """A few neighbouring images under all corruptions.

    Attributes:
        number: position of the unit.
        entries: its images.
        digests: what each of them held when the benchmark was begun.
        names: file name without ending of each.
        known: path below the benchmark -> checksum of files that an earlier call finished. A worker keeps
            those that `verified` leaves.
    """

    number: int
    entries: tuple[Entry, ...]
    digests: tuple[str, ...]
    names: tuple[str, ...]
    known: Mapping[str, str] = field(default_factory=dict)


def verified(job: CorruptJob, unit: CorruptUnit) -> CorruptUnit:
    """Return a unit that knows only the files that are there and are what they were."""
    return replace(unit, known={n: s for n, s in unit.known.items() if stored(job.out / n) == s})


@dataclass
class Report:
    """What units hand back, summed in the order of their numbers."""

    made: int = 0
    labels: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    counts: list[int] = field(default_factory=list)
    """Images that each unit put into its part of the arrays."""
    sums: dict[str, str] = field(default_factory=dict)
    """Path below the benchmark -> checksum of every file of the units."""


def corrupted(job: CorruptJob, place: int, sample: Sample) -> NDArray[np.uint8]:
    """Return an image under the corruption at ``place``: the very call that an evaluation makes."""
    return job.corruptions[place](sample.image, Rng(job.seed).at("corrupt", sample.id))


def one_shape(known: tuple[int, ...] | None, new: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return the shape that images have in common; either may not be known yet."""
    if known is not None and new is not None and known != new:
        raise DataError(
            f"images differ in size: {known[0]}x{known[1]} and {new[0]}x{new[1]}",
            hint="layout cifar_c needs equal ones: set size in the source, or use layout imagenet_c",
        )
    return known or new
