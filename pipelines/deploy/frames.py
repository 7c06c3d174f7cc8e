"""Frames of a video, one after the other; the next is decoded meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.contract.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def frames(source: Path) -> Iterator[tuple[int, int | None, NDArray[np.uint8]]]:
    """Yield number, count (None where nobody knows it) and pixels of each frame, uint8 (h, w, 3), RGB.

    Raises:
        DataError: nothing can be read.
    """
    # Its decoder prints what it finds wrong; the one line of the error says enough.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    capture = cv2.VideoCapture(str(source))
    try:
        if not capture.isOpened():
            raise DataError("is not a video that OpenCV can read", where=str(source))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        at = -1
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(capture.read)
            while (read := coming.result())[0]:
                coming = pool.submit(capture.read)
                at += 1
                yield at, count if count > at else None, np.ascontiguousarray(read[1][:, :, ::-1])
        if at < 0:
            raise DataError("holds no frames that can be read", where=str(source))
    finally:
        capture.release()
