"""Levin's blurred pictures (Levin et al. 2009): sharp pictures and kernels, brought to a common origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from _contestants import INPUT, Contestant, deconvolvers
from _sets import pictures
from _table import Case

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMA = 2 / 255
"""Noise that is told: what the recorded pictures hold, with some room for errors of the kernels."""
ARCHIVE = "levin32.tar"
MARGIN = 30
"""Pixels at each side that the fit of a kernel leaves out."""
MOST = 15
"""Pixels that a kernel is moved by, at most."""


def levin(folder: Path, count: int | None, scratch: Path) -> Iterator[Case]:
    """Yield the 32 pictures, each with the methods that are told its kernel."""
    sharp = {PurePosixPath(p.name).stem: p.image for p in pictures(folder, ARCHIVE, ending="gt", grey=True)}
    rivals: dict[str, list[Contestant]] = {}
    for picture in pictures(folder, ARCHIVE, count=count, ending="blurred", grey=True):
        scene, kernel = PurePosixPath(picture.name).stem.split("_")[:2]
        if kernel not in rivals:
            taps = sharp[kernel][0, 0].numpy().astype(np.float64)
            fitted = fit(taps / taps.sum(), sharp[scene][0, 0].numpy(), picture.image[0, 0].numpy())
            rivals[kernel] = deconvolvers(kernel_file(fitted, scratch, kernel), SIGMA)
        yield Case(picture.name, picture.image, sharp[scene], [INPUT, *rivals[kernel]])


def fit(
    taps: NDArray[np.float64], sharp: NDArray[np.float32], blurred: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the kernel as it is or turned by 180 degrees, and moved, whichever explains the picture best."""
    side = max(taps.shape) // 2 * 2 + 1 + 2 * MOST
    best: tuple[float, NDArray[np.float64]] | None = None
    for turned in (taps, taps[::-1, ::-1]):
        wide = np.zeros((side, side))
        top, left = (side - taps.shape[0]) // 2, (side - taps.shape[1]) // 2
        wide[top : top + taps.shape[0], left : left + taps.shape[1]] = turned
        soft = _convolved(sharp, wide)
        for down in range(-MOST, MOST + 1):
            for right in range(-MOST, MOST + 1):
                moved = np.roll(soft, (down, right), (0, 1)) - blurred
                error = float(np.square(moved[MARGIN:-MARGIN, MARGIN:-MARGIN]).mean())
                if best is None or error < best[0]:
                    best = error, np.roll(wide, (down, right), (0, 1))
    if best is None:
        raise ValueError("no kernel was tried")
    return best[1]


def _convolved(image: NDArray[np.float32], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve

    radius = taps.shape[0] // 2
    found: NDArray[np.float64] = fftconvolve(np.pad(image, radius, mode="symmetric"), taps, mode="valid")
    return found


def kernel_file(taps: NDArray[np.float64], folder: Path, name: str) -> str:
    """Write a kernel where a spec can name it."""
    path = folder / f"{name}.npy"
    np.save(path, taps, allow_pickle=False)
    return str(path)
