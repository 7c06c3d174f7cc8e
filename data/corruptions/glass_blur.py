"""Glass blur: seen through frosted glass."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Literal

from data.corruptions.base import Corruption, Table
from data.corruptions.fields import words
from data.corruptions.kernels import smooth, truncated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GlassBlur(Corruption):
    """Gaussian blur, pixels displaced at random, Gaussian blur again (Hendrycks & Dietterich 2019).

    The published scripts walk the pixels from the last to the first and write a swap with a random neighbour.
    In numpy (and numba) the two sides of that swap are views of one array, so that it is in truth a copy:
    the pixel takes the neighbour's present value and the neighbour keeps it. The published pictures were made
    so, and so it is here. The result of the walk is exact, but found without walking: a pixel that reads a
    neighbour which was visited before it waits until that one is settled, and all that can be settled are
    settled at once (about ten rounds). Displacements are uniform to 2**-16.
    """

    kind: Literal["glass_blur"] = "glass_blur"
    group = "blur"
    stochastic = True
    purpose: ClassVar[str] = "local displacement as behind frosted glass"

    PANES: ClassVar[dict[Table, tuple[tuple[float, int, int], ...]]] = {
        "imagenet_c": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "cifar_c": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    }
    """Standard deviation of the blur in pixels, reach of the displacement in pixels, number of walks."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Blur, gather every pixel from where the walks took it, blur."""
        sigma, reach, walks = self.PANES[self.table][self.severity - 1]
        blurred = truncated(smooth(image, sigma))
        first, *others = displacements(rng, image.shape[:2], reach, walks)
        sources = walk(first, image.shape[:2], reach)
        for offsets in others:
            sources = sources.take(walk(offsets, image.shape[:2], reach))
        return truncated(smooth(_gather(blurred, sources), sigma))


def visited(size: int, reach: int) -> slice:
    """Return the visited rows (or columns): all but the first ``reach`` + 1 and the last ``reach`` - 1."""
    return slice(reach + 1, size - reach + 1)


@lru_cache(maxsize=16)
def _offsets(width: int, reach: int) -> NDArray[np.intp]:
    """Return all flat displacements; both coordinates go from -reach to reach - 1."""
    import numpy as np

    steps = np.arange(-reach, reach)
    offsets = (steps[:, None] * width + steps).reshape(-1).astype(np.intp)
    offsets.flags.writeable = False
    return offsets


def displacements(
    rng: np.random.Generator, size: tuple[int, int], reach: int, walks: int
) -> NDArray[np.intp]:
    """Draw a flat displacement for every walk and visited pixel of a picture of that (height, width)."""
    import numpy as np

    rows, columns = (visited(length, reach) for length in size)
    shape = walks, rows.stop - rows.start, columns.stop - columns.start
    choice = words(rng, shape[0] * shape[1] * shape[2]).astype(np.uint32)
    choice *= 4 * reach * reach
    choice >>= 16
    return _offsets(size[1], reach).take(choice, mode="wrap").reshape(shape)


def walk(offsets: NDArray[np.intp], size: tuple[int, int], reach: int) -> NDArray[np.intp]:
    """Return from which flat position every pixel takes its value in one walk.

    Args:
        offsets: flat displacement of every visited pixel.
        size: height and width of the picture.
        reach: of the displacement.
    """
    import numpy as np

    sources = np.arange(size[0] * size[1], dtype=np.intp)
    inner = visited(size[0], reach), visited(size[1], reach)
    sources.reshape(size)[inner] += offsets
    # A neighbour further on was visited before: what is read there is what it has taken itself.
    open_ends = np.zeros(sources.shape, np.bool_)
    open_ends.reshape(size)[inner] = offsets > 0
    pending = open_ends.nonzero()[0]
    while pending.size:
        neighbours = sources.take(pending)
        waiting = open_ends.take(neighbours)
        settled = ~waiting
        ready = pending.compress(settled)
        sources[ready] = sources.take(neighbours.compress(settled))
        open_ends[ready] = False
        pending = pending.compress(waiting)
    return sources


def _gather(image: NDArray[np.uint8], sources: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return the picture whose pixel i is pixel ``sources[i]`` of the given one."""
    import cv2
    import numpy as np

    if image.shape[2] == 1:
        return image.reshape(-1).take(sources).reshape(image.shape)
    # Four bytes a pixel move as one word, three would move one by one.
    four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).view(np.uint32).reshape(-1)
    moved = four.take(sources).view(np.uint8).reshape(*image.shape[:2], 4)
    return np.asarray(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), np.uint8)
