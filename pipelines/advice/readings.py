"""What a sense says of every image of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.finite import refuse_non_finite
from clearsight.restore.sense import Sense, read
from clearsight.restore.sense_base import DAMAGE, NAMED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clearsight.data.contract.progress import Progress
    from clearsight.data.sources.base import Entry, Source

WHOLE = 448
"""Longer side in pixels up to which the whole image is looked at."""
CROP, CROPS = 224, 3
"""Larger images: so many crops of that side along each axis, evenly spread. The sense knows crops of
photographs, and what it learned of noise and blur holds at the image's own resolution."""


@dataclass(frozen=True)
class Reading:
    """What is wrong with one image.

    Attributes:
        id: of the image.
        presence: kind of damage -> probability that it is there.
        severity: kind of damage -> severity (0 to 5) that it has if it is there.
        noise_level: standard deviation of the noise for values in [0, 1], as the sense estimates it.
    """

    id: str
    presence: Mapping[str, float]
    severity: Mapping[str, float]
    noise_level: float

    @property
    def named(self) -> tuple[str, ...]:
        """Return the kinds of damage that are named, the surest first; empty where nothing is wrong."""
        found = [kind for kind in DAMAGE if self.presence[kind] >= NAMED]
        return tuple(sorted(found, key=lambda kind: -self.presence[kind]))


def read_images(
    source: Source, entries: Sequence[Entry], sense: Sense, tell: Progress
) -> Iterator[tuple[Sample, Reading] | Skipped]:
    """Yield each image with what is wrong with it, or why it could not be used.

    Args:
        source: where they are.
        entries: which.
        sense: looks at them, on its own device.
        tell: called with (stage, done, all).
    """
    for number, entry in enumerate(entries, 1):
        (found,) = source.read([entry])
        yield (found, look(sense, found)) if isinstance(found, Sample) else found
        tell("sense", number, len(entries))


@torch.inference_mode()
def look(sense: Sense, sample: Sample) -> Reading:
    """Return what is wrong with an image: of large ones, the mean over nine crops.

    Raises:
        DataError: the sense gives values that are not finite.
    """
    views = torch.from_numpy(np.stack([np.ascontiguousarray(view) for view in _views(sample.image)]))
    device = next(sense.parameters()).device
    x = views.to(device).permute(0, 3, 1, 2).float() / 255.0
    outputs = sense(x)
    refuse_non_finite(outputs, "what the sense says is", [sample.id] * len(outputs))
    told = read(outputs)
    presence, severity = told.presence.mean(0).tolist(), told.severity.mean(0).tolist()
    return Reading(
        sample.id,
        dict(zip(DAMAGE, presence, strict=True)),
        dict(zip(DAMAGE, severity, strict=True)),
        float(told.noise_level.mean()),
    )


def _views(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the image (h, w, 3), or its crops where it is large."""
    height, width = image.shape[:2]
    if max(height, width) <= WHOLE:
        return [image]
    tops, lefts = (_starts(length) for length in (height, width))
    return [image[top : top + CROP, left : left + CROP] for top in tops for left in lefts]


def _starts(length: int) -> list[int]:
    """Return where crops begin along one axis."""
    room = max(0, length - CROP)
    return [room * i // (CROPS - 1) for i in range(CROPS)]
