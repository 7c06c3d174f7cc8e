"""How large the folder of a run will be, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clearsight.pipelines.systems.threats import is_attack

if TYPE_CHECKING:
    from clearsight.pipelines.config.evaluate import Evaluate
    from clearsight.pipelines.runs.grid import Grid

BLOCK = 4096
"""Bytes that the smallest file takes of a disk."""
ROW, TABLE_ROW, TABLE = 75, 25, 3000
"""Bytes of an image's row in a chunk's file and in ``results.parquet``, and of a chunk's file without rows:
those of the quickstart's run."""
SMALL_FILES = 2
"""Files of a chunk of a cell beside its rows: its seal and its timings."""


def disk_use(config: Evaluate, grid: Grid, images: int, sizes: Mapping[tuple[int, int], int]) -> int:
    """Return about how many bytes a run writes, the page with its images left out.

    Args:
        config: of the run.
        grid: its cells.
        images: that it measures.
        sizes: (height, width) -> how many of the images that were looked at.
    """
    looked = sum(sizes.values())
    pixels = sum(height * width * count for (height, width), count in sizes.items()) / max(1, looked)
    cells = len(grid.triples) + len(grid.certified)
    chunks = -(-images // config.chunk)
    rows = min(images, config.chunk) * ROW + TABLE
    total = cells * chunks * (SMALL_FILES * BLOCK + -(-rows // BLOCK) * BLOCK) + cells * images * TABLE_ROW
    restoring = {name for name, graph in grid.graphs.items() if graph.restored}
    for system, _, attack in grid.triples:
        spec = config.attacks[attack]
        attacked = is_attack(spec)
        # Noise hardly gets smaller as PNG: three bytes a pixel.
        total += round(min(images, config.images) * 3 * pixels * ((system in restoring) + attacked))
        if spec.keep:
            total += round(images * 3 * pixels * 4)
    return total + round(min(images, config.images) * 3 * pixels * len(grid.conditions))
