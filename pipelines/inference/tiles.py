"""Large images through a file that gives images, in tiles that equal the whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.deployed import Deployed
from clearsight.restore.tiling.spans import spans, up

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE_PIXELS = 1024 * 1024
"""Images up to this size are computed as a whole: halos would only cost time."""
SIDE = 512
"""Of tiles: halos of 50 pixels add 40 % of work, and 64 channels take 100 MB a layer."""


def tiled(deployed: Deployed, height: int, width: int) -> bool:
    """Return whether an image of this size is computed in tiles.

    It needs a file that takes any size and gives images only, each with a halo: a class depends on the
    whole image.
    """
    free = deployed.input.height is None and deployed.input.width is None
    local = all(each.gives == "image" and each.halo is not None for each in deployed.outputs)
    return free and local and height * width > WHOLE_PIXELS


def in_tiles(
    run: Callable[[NDArray[Any]], dict[str, NDArray[Any]]],
    deployed: Deployed,
    image: NDArray[Any],
    side: int = SIDE,
) -> dict[str, NDArray[Any]]:
    """Return every output for one image, put together from tiles.

    Args:
        run: takes a window (h, w, c), gives each output's image (h * scale, w * scale, c).
        deployed: of a file for which `tiled` is true.
        image: (h, w, c).
        side: of the tiles that are kept of each window, in pixels of the input.
    """
    step = math.lcm(*(each.multiple_of for each in deployed.outputs))
    halo = up(max(each.halo or 0 for each in deployed.outputs), step)
    least = up(deployed.input.minimum, step)
    height, width = image.shape[:2]
    rows = spans(height, side, halo=halo, step=step, least=least)
    columns = spans(width, side, halo=halo, step=step, least=least)
    whole: dict[str, NDArray[Any]] = {}
    for row, column in product(rows, columns):
        found = run(image[row.first : row.last, column.first : column.last])
        for each in deployed.outputs:
            tile, scale = found[each.name], each.scale
            if each.name not in whole:
                whole[each.name] = np.empty((height * scale, width * scale, tile.shape[2]), tile.dtype)
            kept = tile[row.inside(scale), column.inside(scale)]
            whole[each.name][row.target(scale), column.target(scale)] = kept
    return whole
