"""Videos, frame by frame in constant memory, read and written by OpenCV. Sound is not kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import DataError, RunError
from clearsight.data.home import temporary_path
from clearsight.data.media.listing import CODECS
from clearsight.data.media.video import empty, frames, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

USUAL_RATE = 25.0
"""Frames a second where a file does not say."""


def restore_video(
    source: Path,
    target: Path,
    work: Callable[[NDArray[Any]], NDArray[Any]],
    on_frame: Callable[[int, int | None], None],
) -> tuple[str, ...]:
    """Restore every frame of a video; the next one is read meanwhile.

    The result is written under a temporary name and moved into place at the end. Frames keep their rate and
    their order; sound, subtitles and uneven times of frames are lost. Sides of odd length lose a pixel, as
    the codecs need even ones.

    Args:
        source: a file that OpenCV can read.
        target: its ending decides the codec, see `clearsight.data.media.listing.CODECS`.
        work: restores a frame, uint8 (h, w, 3), RGB.
        on_frame: called with the number of frames done and the total (None where unknown).

    Returns:
        Notes for the user.

    Raises:
        DataError: it cannot be read.
        RunError: OpenCV cannot write such a file, or not all of its frames.
    """
    with opened(source) as (capture, count):
        import cv2

        rate = capture.get(cv2.CAP_PROP_FPS)
        known = bool(np.isfinite(rate)) and rate > 0
        temporary = temporary_path(target, target.suffix)
        try:
            with _Writer(temporary, rate if known else USUAL_RATE) as writer:
                for done, frame in enumerate(frames(capture), start=1):
                    writer.add(work(frame))
                    on_frame(done, count if count >= done else None)
            if not writer.frames:
                raise empty(source)
            _check_readable(temporary, writer.frames, target)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    notes = ["sound is not kept"]
    if not known:
        notes.append(f"the file has no frame rate, {USUAL_RATE:g} a second are written")
    if count > writer.frames:
        notes.append(f"only {writer.frames} of {count} frames could be read")
    if writer.cropped:
        notes.append("one row or column is cut off, because the codec needs even sides")
    return tuple(notes)


def _check_readable(path: Path, wanted: int, target: Path) -> None:
    """Count the frames of a written file: OpenCV does not say when a write fails, as on a full disk."""
    try:
        with opened(path) as (capture, _):
            readable = sum(1 for _ in iter(capture.grab, False))
    except DataError:
        readable = 0
    if readable < wanted:
        raise RunError(
            f"only {readable} of {wanted} frames could be written",
            where=str(target),
            hint="check the free space of the disk",
        )


class _Writer:
    """Opens the file when the size of the first frame is known."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self.frames = 0
        self.cropped = False
        self.writer: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.release()

    def add(self, frame: NDArray[Any]) -> None:
        """Write a frame (h, w, 3), RGB."""
        import cv2

        height, width = (side // 2 * 2 for side in frame.shape[:2])
        if self.writer is None:
            self.cropped = frame.shape[:2] != (height, width)
            codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
            self.writer = cv2.VideoWriter(str(self.path), codec, self.rate, (width, height))
            if not self.writer.isOpened():
                raise RunError(
                    f"OpenCV cannot write '{self.path.suffix}' videos of {width}x{height} pixels",
                    where=str(self.path.parent),
                    hint="check the folder and its free space, or give another ending (.avi, .mp4)",
                )
        self.writer.write(np.ascontiguousarray(frame[:height, :width, ::-1]))
        self.frames += 1
