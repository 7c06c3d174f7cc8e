"""One call with small images: does a file give what its description says?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.deployed import BESIDE, Deployed, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 4096
"""Largest value of any number in a description: halo, grid, scale, batch, least size."""
MOST_PIXELS = 2**26
"""Most pixels of the batch that a file of fixed size takes."""


def senseless(deployed: Deployed) -> str:
    """Return which number of a description makes no sense, else ''."""
    taken = deployed.input
    numbers = {"batch": taken.batch, "minimum": taken.minimum, "channels": taken.channels}
    for output in deployed.outputs:
        numbers |= {f"{output.name}.scale": output.scale, f"{output.name}.multiple_of": output.multiple_of}
        if output.halo is not None and not 0 <= output.halo <= MOST:
            return f"{output.name}.halo is {output.halo}, which makes no sense"
    for name, number in numbers.items():
        if number is not None and not 1 <= number <= MOST:
            return f"{name} is {number}, which makes no sense"
    if taken.channels not in (1, 3):
        return f"channels is {taken.channels}, which makes no sense"
    sides = [side for side in (taken.height, taken.width) if side is not None]
    if any(side < 1 for side in sides) or math.prod([taken.batch or 1, *sides]) > MOST_PIXELS:
        return "height, width and batch are too small or too large to be computed"
    return ""


def differs(deployed: Deployed, run: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]) -> str:
    """Return how the outputs differ from their description, else ''.

    Args:
        deployed: the description, for which `senseless` found nothing.
        run: computes a batch in the layout and dtype of the file, returns outputs by name.
    """
    taken = deployed.input
    # The least size, and not a square, so that height and width cannot be confused.
    count = taken.batch or 2
    height, width = taken.height or taken.minimum, taken.width or taken.minimum + 1
    last = taken.layout == "NHWC"
    shape = (count, height, width, taken.channels) if last else (count, taken.channels, height, width)
    ramp = np.linspace(0, 1, num=count * height * width * taken.channels, dtype=np.float32).reshape(shape)
    arrays = run((ramp * 255).astype(np.uint8) if taken.dtype == "uint8" else ramp)
    for output in deployed.outputs:
        if lie := _lie(output, deployed, arrays[output.name], (count, height, width)):
            return f"output '{output.name}' {lie}"
    return ""


def _lie(output: Output, deployed: Deployed, array: NDArray[Any], sizes: tuple[int, int, int]) -> str:
    count, height, width = sizes
    taken = deployed.input
    wanted: tuple[int, ...]
    dtype: str
    if output.gives != "image":
        axes, dtype = BESIDE.get(output.gives, (2, "float32"))
        classes = len(deployed.classes) or (array.shape[1] if array.ndim == 2 else 0)
        wanted = (count, classes)[:axes]
    else:
        high, wide, dtype = height * output.scale, width * output.scale, taken.dtype
        last = taken.layout == "NHWC"
        wanted = (count, high, wide, taken.channels) if last else (count, taken.channels, high, wide)
    if array.shape == wanted and array.dtype == dtype and array.size:
        return ""
    return f"is described as {dtype} {wanted} of {width}x{height} pixels, and is {array.dtype} {array.shape}"
