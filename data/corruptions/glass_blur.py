"""Glass blur: seen through frosted glass."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption, Table
from clearsight.data.corruptions.fields import words
from clearsight.data.corruptions.kernels import GUARD, smooth
from clearsight.data.corruptions.pixels import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW = 32
"""At most so many waiting pixels are walked one by one: another round over arrays would cost more."""


class GlassBlur(Corruption):
    """Gaussian blur, pixels displaced at random, Gaussian blur again (Hendrycks & Dietterich 2019).

    The published scripts walk the pixels from the last to the first and write a swap with a random neighbour.
    In numpy (and numba) the two sides of that swap are views of one array, so it is in effect a copy:
    the pixel takes the neighbour's present value and the neighbour keeps it. The published images were made
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
        "tiny_imagenet_c": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    }
    """Standard deviation of the blur in pixels, reach of the displacement in pixels, number of walks."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Blur, walk, blur."""
        sigma, reach, walks = self.PANES[self.table][self.severity - 1]
        pixels = _packed(truncate(smooth(image, sigma), guard=GUARD))
        for _ in range(walks):
            pixels = walk(pixels, displacements(rng, pixels.shape, reach), reach)
        return truncate(smooth(_unpacked(pixels, image.shape[2]), sigma), guard=GUARD)


def visited(size: int, reach: int) -> slice:
    """Return the visited rows (or columns): all but the first ``reach`` + 1 and the last ``reach`` - 1."""
    return slice(reach + 1, size - reach + 1)


def displacements(rng: np.random.Generator, size: tuple[int, ...], reach: int) -> NDArray[np.uint8]:
    """Draw one displacement for every visited pixel of an image of that (height, width).

    Displacement i goes i // (2 reach) - reach rows down and i % (2 reach) - reach columns to the right.
    """
    import numpy as np

    rows, columns = (visited(length, reach) for length in size)
    shape = rows.stop - rows.start, columns.stop - columns.start
    choice = words(rng, shape[0] * shape[1]).astype(np.uint32)
    choice *= 4 * reach * reach
    choice >>= 16
    return choice.astype(np.uint8).reshape(shape)


@lru_cache(maxsize=16)
def _flat(width: int, reach: int) -> NDArray[np.int32]:
    """Return how far every displacement goes in the flattened image (256 entries, the last ones unused)."""
    import numpy as np

    steps = np.arange(-reach, reach)
    flat = np.zeros(256, np.int32)
    flat[: 4 * reach * reach] = (steps[:, None] * width + steps).reshape(-1)
    return flat


def walk(values: NDArray[Any], choice: NDArray[np.uint8], reach: int) -> NDArray[Any]:
    """Walk the image once, from the last pixel to the first.

    Args:
        values: one number a pixel, (h, w).
        choice: what `displacements` drew.
        reach: of the displacement in pixels.

    Returns:
        a new array like ``values``.
    """
    import cv2
    import numpy as np

    inner = visited(values.shape[0], reach), visited(values.shape[1], reach)
    neighbour = np.arange(values.size, dtype=np.intp)
    neighbour.reshape(values.shape)[inner] += np.asarray(
        cv2.LUT(choice, _flat(values.shape[1], reach)), np.int32
    )
    out = values.reshape(-1).take(neighbour)
    # A neighbour further on was visited before: what is read there is what it has taken itself.
    waiting = np.zeros(values.size, np.bool_)
    waiting.reshape(values.shape)[inner] = choice > 2 * reach * reach + reach
    places = waiting.nonzero()[0]
    neighbours = neighbour.take(places)
    while places.size > FEW:
        held = waiting.take(neighbours)
        free = ~held
        settled = places.compress(free)
        out[settled] = out.take(neighbours.compress(free))
        waiting[settled] = False
        places, neighbours = places.compress(held), neighbours.compress(held)
    for place, source in zip(places[::-1].tolist(), neighbours[::-1].tolist(), strict=True):
        out[place] = out[source]
    return out.reshape(values.shape)


def _packed(image: NDArray[np.uint8]) -> NDArray[Any]:
    """Return one number a pixel, (h, w): four bytes move as one word, three would move one by one."""
    import cv2
    import numpy as np

    if image.shape[2] == 1:
        return image[..., 0]
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2RGBA), np.uint8).view(np.uint32)[..., 0]


def _unpacked(pixels: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Undo `_packed`."""
    import cv2
    import numpy as np

    four = pixels[..., None].view(np.uint8)
    return four if channels == 1 else np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB), np.uint8)
