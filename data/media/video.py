"""Frames of a video, read by OpenCV one after the other. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import DataError, first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray


@contextmanager
def opened(source: Path) -> Iterator[tuple[Any, int]]:
    """Open a video; give OpenCV's capture and the number of frames that the file claims to hold.

    Raises:
        DataError: OpenCV cannot read it.
    """
    # Its decoder prints what it finds wrong; the one line of the error says enough.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    capture = cv2.VideoCapture(str(source))
    try:
        if not capture.isOpened():
            raise DataError("is not a video that OpenCV can read", where=str(source))
        yield capture, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()


def frames(capture: Any) -> Iterator[NDArray[np.uint8]]:
    """Yield frames (h, w, 3) in RGB; while one is worked on, the next is decoded.

    Raises:
        DataError: a frame cannot be decoded, or does not fit into memory.
    """
    import cv2

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(capture.read)
        while True:
            try:
                found, frame = coming.result()
            except (cv2.error, MemoryError) as error:
                raise DataError(f"its frames cannot be decoded: {first_line(error)}") from None
            if not found:
                return
            coming = pool.submit(capture.read)
            yield np.ascontiguousarray(frame[:, :, ::-1])


def empty(source: Path) -> DataError:
    """Return the error of a video that opens but gives no frame."""
    return DataError("holds no frames that can be read", where=str(source))
