"""Large images through a file that gives images, in tiles, with the result of the whole image."""

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
"""Side of tiles in pixels: halos of 50 add 40 % of work, and 64 channels take 100 MB per layer."""

CORE = 16
"""Side of the middle that `seams` looks at."""
TOLERANCE = 0.012
"""Three of 255 levels: by how much fp16 and int8 may differ between two windows."""


def tiled(deployed: Deployed, height: int, width: int) -> bool:
    """Return whether an image of this size is computed in tiles.

    It needs a file that takes any size and gives images only, each with a halo: a class depends on the
    whole image.
    """
    free = deployed.input.height is None and deployed.input.width is None
    local = all(each.gives == "image" and each.halo is not None for each in deployed.outputs)
    return free and local and height * width > WHOLE_PIXELS


def seams(
    run: Callable[[NDArray[Any]], dict[str, NDArray[Any]]], deployed: Deployed, image: NDArray[Any]
) -> str:
    """Return the name of an output whose tiles depend on more than their halo, else ''.

    The description of such a file is wrong.

    Args:
        run: as for `in_tiles`.
        deployed: of a file for which `tiled` is true.
        image: (h, w, c); its middle is computed twice, with the halo around it and with more than that.
    """
    outputs = deployed.outputs
    step, halo = _grid(deployed)
    # The two windows begin at different places of any coarser grid, too.
    more = halo + step * (1 if halo // step % 2 == 0 else 2)
    side = up(CORE, step)
    corner = [(length - side) // 2 // step * step for length in image.shape[:2]]
    cores = []
    for reach in (halo, more):
        first = [max(0, at - reach) for at in corner]
        window = image[first[0] : corner[0] + side + reach, first[1] : corner[1] + side + reach]
        if min(window.shape[:2]) < deployed.input.minimum:
            return ""
        arrays = run(window)
        starts = [at - begin for at, begin in zip(corner, first, strict=True)]
        cores.append(
            {
                output.name: _core(arrays[output.name], starts, side, output.scale)
                for output in deployed.outputs
            }
        )
    for output in outputs:
        narrow, wide = cores[0][output.name], cores[1][output.name]
        most = TOLERANCE * (255 if narrow.dtype == np.uint8 else 65_535)
        if narrow.shape != wide.shape or np.abs(narrow.astype(float) - wide).max(initial=0) > most:
            return output.name
    return ""


def _core(image: NDArray[Any], starts: list[int], side: int, scale: int) -> NDArray[Any]:
    top, left = (start * scale for start in starts)
    return image[top : top + side * scale, left : left + side * scale]


def _grid(deployed: Deployed) -> tuple[int, int]:
    """Return the grid of corners and the halo that suit all outputs."""
    step = math.lcm(*(output.multiple_of for output in deployed.outputs))
    return step, up(max(output.halo or 0 for output in deployed.outputs), step)


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
        side: of the tile that is kept of each window, in pixels of the input.
    """
    step, halo = _grid(deployed)
    least = up(deployed.input.minimum, step)
    height, width = image.shape[:2]
    rows = spans(height, side, halo=halo, step=step, least=least)
    columns = spans(width, side, halo=halo, step=step, least=least)
    whole: dict[str, NDArray[Any]] = {}
    for row, column in product(rows, columns):
        arrays = run(image[row.first : row.last, column.first : column.last])
        for output in deployed.outputs:
            tile, scale = arrays[output.name], output.scale
            if output.name not in whole:
                whole[output.name] = np.empty((height * scale, width * scale, tile.shape[2]), tile.dtype)
            kept = tile[row.inside(scale), column.inside(scale)]
            whole[output.name][row.target(scale), column.target(scale)] = kept
    return whole
