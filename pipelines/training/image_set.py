"""The images of a source, decoded once into memory, and the split that chooses checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
from clearsight.data.sources.base import Entry, HoldOut, Index, Source
from clearsight.data.sources.selection import select

CHUNK = 512


@dataclass(frozen=True)
class ImageSet:
    """Decoded images.

    Attributes:
        images: uint8 (n, h, w, 3).
        labels: int64 (n,), or None where the source has none.
        ids: n names.
        fingerprint: key of what the images hold.
        skipped: images that could not be used.
    """

    images: Tensor
    labels: Tensor | None
    ids: tuple[str, ...]
    fingerprint: str
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.ids)


@dataclass(frozen=True)
class Split:
    """Entries to train on and entries to choose the checkpoint with; they share no image."""

    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    classes: tuple[str, ...]
    passed_over: tuple[Skipped, ...] = ()


def split(source: Source, rule: HoldOut) -> Split:
    """Split the images that a source selects into training and validation.

    Raises:
        DataError: one of the two sides would be empty.
    """
    whole = source.index()
    plain = {"take": None, "label_map": None, "hold_out": rule}
    sides = [
        select(source.model_copy(update=plain | {"subset": side}), Index(whole.entries, whole.classes))
        for side in ("train", "held_out")
    ]
    return Split(sides[0].entries, sides[1].entries, whole.classes, whole.passed_over)


def decode(source: Source, entries: Sequence[Entry]) -> ImageSet:
    """Decode entries into memory.

    Raises:
        DataError: none can be read, or some have labels and some have not.
        ConfigError: the images differ in size.
    """
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    digests = source.digests(entries)
    for start in range(0, len(entries), CHUNK):
        part = slice(start, start + CHUNK)
        for entry in source.read(entries[part], digests[part]):
            if isinstance(entry, Sample):
                samples.append(entry)
            else:
                skipped.append(entry)
    where = kind_of(source)
    if not samples:
        raise DataError("no image can be read", where=where, hint=skipped[0].reason if skipped else "")
    shapes = sorted({sample.image.shape[:2] for sample in samples})
    if len(shapes) > 1:
        raise ConfigError(
            f"images of different sizes ({shapes[0]} to {shapes[-1]}) cannot form a batch",
            where=where,
            hint="set data.size, such as size: 64",
        )
    images = torch.empty((len(samples), *shapes[0], 3), dtype=torch.uint8)
    for row, sample in enumerate(samples):
        images[row] = torch.from_numpy(np.ascontiguousarray(sample.image))
    return ImageSet(
        images,
        _labels(samples, where),
        tuple(sample.id for sample in samples),
        source.fingerprint(entries, digests),
        tuple(skipped),
    )


def _labels(samples: Sequence[Sample], where: str) -> Tensor | None:
    labels = [sample.truth for sample in samples if sample.truth is not None]
    if labels and len(labels) < len(samples):
        raise DataError(f"{len(samples) - len(labels)} images have no label", where=where)
    return torch.tensor(labels, dtype=torch.int64) if labels else None
