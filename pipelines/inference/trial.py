"""One call with small images: does a file give what its description says?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.deployed import Deployed, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 4096
"""Of every length and number in a description: halo, grid, scale, batch, least size."""
MOST_PIXELS = 2**26
"""Of the batch that a file of one size takes."""


def senseless(told: Deployed) -> str:
    """Return which number of a description makes no sense, or nothing."""
    given = told.input
    numbers = {"batch": given.batch, "minimum": given.minimum, "channels": given.channels}
    for each in told.outputs:
        numbers |= {f"{each.name}.scale": each.scale, f"{each.name}.multiple_of": each.multiple_of}
        if each.halo is not None and not 0 <= each.halo <= MOST:
            return f"{each.name}.halo is {each.halo}, which makes no sense"
    for name, number in numbers.items():
        if number is not None and not 1 <= number <= MOST:
            return f"{name} is {number}, which makes no sense"
    if given.channels not in (1, 3):
        return f"channels is {given.channels}, which makes no sense"
    sides = [side for side in (given.height, given.width) if side is not None]
    if any(side < 1 for side in sides) or math.prod([given.batch or 1, *sides]) > MOST_PIXELS:
        return "height and width make no image that can be computed"
    return ""


def differs(told: Deployed, run: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]) -> str:
    """Return in what the outputs differ from their description, or nothing.

    Args:
        told: the description, for which `senseless` found nothing.
        run: computes a batch as the file takes it, gives outputs by name.
    """
    given = told.input
    # The least size that is promised, and no square, so that height and width cannot be mistaken.
    count = given.batch or 2
    height, width = given.height or given.minimum, given.width or given.minimum + 1
    last = given.layout == "NHWC"
    shape = (count, height, width, given.channels) if last else (count, given.channels, height, width)
    ramp = np.linspace(0, 1, num=count * height * width * given.channels, dtype=np.float32).reshape(shape)
    found = run((ramp * 255).astype(np.uint8) if given.dtype == "uint8" else ramp)
    for each in told.outputs:
        if lie := _lie(each, told, found[each.name], (count, height, width)):
            return f"output '{each.name}' {lie}"
    return ""


def _lie(output: Output, told: Deployed, found: NDArray[Any], sizes: tuple[int, int, int]) -> str:
    count, height, width = sizes
    given = told.input
    wanted: tuple[int, ...]
    dtype: str
    if output.gives == "logits":
        classes = len(told.classes) or (found.shape[1] if found.ndim == 2 else 0)
        wanted, dtype = (count, classes), "float32"
    else:
        high, wide, dtype = height * output.scale, width * output.scale, given.dtype
        last = given.layout == "NHWC"
        wanted = (count, high, wide, given.channels) if last else (count, given.channels, high, wide)
    if found.shape == wanted and found.dtype == dtype and found.size:
        return ""
    return f"is described as {dtype} {wanted} of {width}x{height} pixels, and is {found.dtype} {found.shape}"
