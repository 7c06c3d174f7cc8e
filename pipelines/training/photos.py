"""Photographs of any size, decoded once into memory, and the random crops that restorers learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.method import UNKNOWN
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.contract.spec import kind_of
from clearsight.data.sources.base import Entry, Source
from clearsight.pipelines.config.train import Augment
from clearsight.pipelines.training.augment import as_floats
from clearsight.restore.ops.tone import luma


@dataclass(frozen=True)
class Photos:
    """Decoded photographs, one after the other.

    Attributes:
        pixels: uint8 (all pixels, 3).
        starts: int64 (n,), where each photograph begins in ``pixels``.
        sizes: int64 (n, 2), heights and widths.
        ids: n names.
        fingerprint: key of what the photographs hold.
        labels: int64 (n,), `UNKNOWN` where a photograph has none.
        skipped: photographs that could not be used.
    """

    pixels: Tensor
    starts: Tensor
    sizes: Tensor
    ids: tuple[str, ...]
    fingerprint: str
    labels: Tensor
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        """Return the number of photographs."""
        return len(self.ids)

    def to(self, device: str) -> Photos:
        """Return the same photographs with their pixels on a device."""
        return replace(self, pixels=self.pixels.to(device))

    def whole(self, row: int, channels: int, *, side: int | None = None, multiple_of: int = 1) -> Tensor:
        """Return one photograph, float32 (1, channels, h, w) in [0, 1].

        Args:
            row: which.
            channels: 1 or 3.
            side: cut the centre of at most this many pixels a side.
            multiple_of: cut height and width down to a multiple of this.
        """
        height, width = (int(length) for length in self.sizes[row])
        start = int(self.starts[row])
        image = self.pixels[start : start + height * width].view(1, height, width, 3)
        for axis, length in ((1, height), (2, width)):
            kept = min(length, side or length) // multiple_of * multiple_of
            image = image.narrow(axis, (length - kept) // 2, kept)
        return as_images(image, channels)

    def patches(
        self, rows: Tensor, side: int, channels: int, how: Augment, generator: torch.Generator
    ) -> Tensor:
        """Return one random crop of each photograph, flipped and turned at even odds where asked.

        Args:
            rows: int64 (n,), which photographs.
            side: of the crops in pixels.
            channels: 1 or 3.
            how: whether to flip and to turn.
            generator: on the CPU, so that all devices see the same draws.

        Returns:
            float32 (n, channels, side, side) in [0, 1] on the photographs' device.
        """
        n = rows.numel()
        chances = torch.rand(5, n, generator=generator)
        sizes = self.sizes[rows]
        # The product with a chance below 1 may round up to the next whole number in float32.
        room = sizes - side
        top = torch.minimum((chances[0] * (room[:, 0] + 1)).long(), room[:, 0])
        left = torch.minimum((chances[1] * (room[:, 1] + 1)).long(), room[:, 1])
        along = torch.arange(side)
        corner = self.starts[rows] + top * sizes[:, 1] + left
        place = corner[:, None, None] + along[:, None] * sizes[:, 1, None, None] + along
        if how.flip or how.rotate:
            place = torch.where((chances[2] < 0.5)[:, None, None], place.flip(2), place)
        if how.rotate:
            # Mirrored along both axes and transposed, each or not: all eight symmetries of the square.
            place = torch.where((chances[3] < 0.5)[:, None, None], place.flip(1), place)
            place = torch.where((chances[4] < 0.5)[:, None, None], place.transpose(1, 2), place)
        return as_images(self.pixels[place.to(self.pixels.device)], channels)


def as_images(images: Tensor, channels: int) -> Tensor:
    """Return uint8 (n, h, w, 3) as float32 (n, channels, h, w) in [0, 1]; grey is BT.601 luma."""
    floats = as_floats(images)
    return floats if channels == 3 else luma(floats)


def decode_photos(source: Source, entries: Sequence[Entry], *, least: int = 1) -> Photos:
    """Decode entries into memory.

    Args:
        source: where they are.
        entries: which.
        least: shortest side in pixels that can be used.

    Raises:
        DataError: none can be read.
        ConfigError: a photograph is too small.
    """
    where = kind_of(source)
    pixels: list[Tensor] = []
    sizes: list[tuple[int, int]] = []
    ids: list[str] = []
    labels: list[int] = []
    skipped: list[Skipped] = []
    # One at a time: a folder of camera images must not be in memory twice.
    digests = source.digests(entries)
    for entry, digest in zip(entries, digests, strict=True):
        (found,) = source.read([entry], [digest])
        if not isinstance(found, Sample):
            skipped.append(found)
            continue
        height, width = found.image.shape[:2]
        if min(height, width) < least:
            raise ConfigError(
                f"the image has {height}x{width} pixels, and crops of {least} are wanted",
                where=f"{where}: {found.id}",
                hint="lower 'patch', or leave the image out",
            )
        pixels.append(torch.from_numpy(np.ascontiguousarray(found.image)).view(-1, 3))
        sizes.append((height, width))
        ids.append(found.id)
        labels.append(UNKNOWN if found.truth is None else found.truth)
    if not pixels:
        raise DataError("no image can be read", where=where, hint=skipped[0].reason if skipped else "")
    lengths = torch.tensor([len(each) for each in pixels])
    return Photos(
        torch.cat(pixels),
        lengths.cumsum(0) - lengths,
        torch.tensor(sizes),
        tuple(ids),
        source.fingerprint(entries, digests),
        torch.tensor(labels),
        tuple(skipped),
    )
