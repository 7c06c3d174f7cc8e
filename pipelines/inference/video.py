"""Numbered frames of a video, for the table of results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.media import video as video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def frames(source: Path) -> Iterator[tuple[int, int | None, NDArray[np.uint8]]]:
    """Yield index, frame count (None where unknown) and pixels, uint8 (h, w, 3) RGB, of each frame.

    Raises:
        DataError: the video cannot be read or has no frames.
    """
    at = -1
    with video.opened(source) as (capture, count):
        for at, pixels in enumerate(video.frames(capture)):
            yield at, count if count > at else None, pixels
        if at < 0:
            raise video.empty(source)
