"""Block matching and 3-D filtering in batches: groups of like blocks, shrunk together.

Written from the papers (Dabov, Foi, Katkovnik and Egiazarian 2007; its constants as Lebrun 2012 found them),
arranged for tensors. Reference blocks are taken in cells of 4 x 4 that share one search area, so that their
distances are one matrix product. A table holds the transformed block of every position; groups are gathered
from it and added back to it, so that every block is transformed and inverted once, not once a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import fold

from clearsight.restore.ops.block_transforms import dct_matrix, haar_matrix, on_blocks, spline_matrix

SIDE = 8
"""Side of a block in pixels."""
STEP = 3
"""Reference blocks are at most so many pixels apart."""
CELL = 4
"""Reference blocks of a cell along each side; they share a search area."""
BAND = 8
"""Rows of cells that are worked on together: bounds the memory."""
BASIC_GROUP, FINAL_GROUP = 16, 16
"""Most blocks in a group of the first and of the second step."""
THRESHOLD = 2.7
"""Coefficients of a group below so many standard deviations of the noise are noise."""
BASIC_SPREAD, FINAL_SPREAD = 1250 / 255**2, 400 / 255**2
"""Greatest mean squared difference of the blocks of one group in the first step, above the ``2 sigma^2``
that noise alone brings, and in the second step, whose guide has little noise."""
MEDIUM = 25 / 255
"""Noise above which that of the guide, and with it the second spread, grows."""
KAISER = 2.0
"""Shape of the Kaiser window that blocks are added with."""
DONE = 1e-12
"""Where no block lies nothing is divided by less; every pixel lies in one."""


@dataclass(frozen=True)
class Groups:
    """Like blocks of one band: for each reference block the positions of its group, nearest first.

    Attributes:
        members: (references, most) positions in the band's table.
        sizes: (references,) how many of them count, a power of two.
    """

    members: Tensor
    sizes: Tensor

    def by_size(self) -> Iterator[Tensor]:
        """Yield the members (k, size) of all groups of one size after the other."""
        size = 1
        while size <= self.members.shape[1]:
            chosen = self.members[self.sizes == size, :size]
            if len(chosen):
                yield chosen
            size *= 2


def bm3d(x: Tensor, sigma: float, search: int) -> Tensor:
    """Denoise one image; its first channel decides which blocks are alike.

    Args:
        x: (c, h, w), both sides at least `SIDE`, with white noise in each channel.
        sigma: standard deviation of the noise, above 0.
        search: the search area of a cell reaches so many pixels beyond its reference blocks.

    Returns:
        (c, h, w).
    """
    basic = _step(x, x, sigma, search, first=True)
    return _step(x, basic, sigma, search, first=False)


def _step(noisy: Tensor, guide: Tensor, sigma: float, search: int, *, first: bool) -> Tensor:
    """Match blocks in the guide's first channel, filter groups of all channels, add the blocks up."""
    channels, height, width = noisy.shape
    total, weight = torch.zeros_like(noisy), torch.zeros_like(noisy)
    for top, bottom, rows in _bands(height, search):
        columns = _references(width)
        part = slice(top, bottom)
        groups = _match(guide[:1, part], rows - top, columns, sigma, search, first=first)
        for channel in range(channels):
            given, told = noisy[channel, part], guide[channel, part]
            blocks, weights = _hard(given, groups, sigma) if first else _wiener(given, told, groups, sigma)
            total[channel, part] += _spread(blocks, given.shape)
            weight[channel, part] += _spread(weights[:, None].expand(-1, SIDE**2), given.shape)
    return total / weight.clamp_min(DONE)


def _references(size: int) -> Tensor:
    """Return places of reference blocks along an axis: at most STEP apart, ends included, whole cells."""
    last = size - SIDE
    count = -(-last // STEP) + 1
    count = -(-count // CELL) * CELL
    return torch.linspace(0, last, count).round().long()


def _bands(height: int, search: int) -> Iterator[tuple[int, int, Tensor]]:
    """Yield first and last row of the pixels that a band of cells needs, and its rows of reference blocks."""
    places = _references(height)
    for start in range(0, len(places), BAND * CELL):
        rows = places[start : start + BAND * CELL]
        # A cell's search area lies around its middle, which need not be the middle of its references.
        first, last = int(rows[0]) - search - STEP, int(rows[-1]) + SIDE + search + STEP
        yield max(0, first), min(height, last), rows


def _blocks(plane: Tensor) -> Tensor:
    """Return the blocks of all positions of a plane (h, w), one a row, (positions, SIDE^2)."""
    return plane.unfold(0, SIDE, 1).unfold(1, SIDE, 1).reshape(-1, SIDE**2)


def _spread(blocks: Tensor, shape: torch.Size) -> Tensor:
    """Add blocks (positions, SIDE^2) up at their places, each times the Kaiser window."""
    windowed = blocks * _window().to(blocks)
    return fold(windowed.t()[None], (shape[0], shape[1]), SIDE)[0, 0]


@lru_cache(maxsize=1)
def _window() -> Tensor:
    line = torch.kaiser_window(SIDE, periodic=False, beta=KAISER, dtype=torch.float64)
    return torch.outer(line, line).flatten()


def _match(plane: Tensor, rows: Tensor, columns: Tensor, sigma: float, search: int, *, first: bool) -> Groups:
    """Find the blocks most like each reference block, within the search area of its cell."""
    plane = plane[0]
    table = _blocks(plane - 0.5)
    places = tuple(side - SIDE + 1 for side in plane.shape)
    area = [_areas(at, count, search) for at, count in zip((rows, columns), places, strict=True)]
    most = BASIC_GROUP if first else FINAL_GROUP
    most = 2 ** min(most.bit_length() - 1, (area[0].shape[1] * area[1].shape[1]).bit_length() - 1)
    spread = BASIC_SPREAD + 2 * sigma**2 if first else FINAL_SPREAD * max(1.0, sigma / MEDIUM) ** 2
    lengths = table.square().sum(dim=1)
    members, sizes = [], []
    # One row of cells after the other keeps the candidates of all its cells in memory, no more.
    for own, around in zip(rows.view(-1, CELL), area[0], strict=True):
        wanted = _positions(own.expand(len(area[1]), -1), columns.view(-1, CELL), places[1])
        offered = _positions(around.expand(len(area[1]), -1), area[1], places[1])
        others = table[offered]
        distance = lengths[offered][:, None] - 2 * table[wanted] @ others.mT
        nearest, which = distance.topk(most, dim=2, largest=False)
        nearest = nearest + lengths[wanted][..., None]
        members.append(offered.gather(1, which.flatten(1)).reshape(-1, most))
        alike = (nearest <= spread * SIDE**2).sum(dim=2).clamp_min(1).flatten()
        sizes.append(2 ** alike.float().log2().floor().long())
    return Groups(torch.cat(members), torch.cat(sizes))


def _areas(at: Tensor, count: int, search: int) -> Tensor:
    """Return the candidates' places along an axis for each cell, (cells, side), all inside ``count``."""
    cells = at.view(-1, CELL)
    side = min(count, CELL * STEP - STEP + 1 + 2 * search)
    start = ((cells[:, 0] + cells[:, -1]) // 2 - side // 2).clamp(0, count - side)
    return start[:, None] + torch.arange(side)


def _positions(rows: Tensor, columns: Tensor, stride: int) -> Tensor:
    """Return the positions of all pairs of a row and a column, cell by cell, (cells, rows * columns)."""
    return (rows[:, :, None] * stride + columns[:, None, :]).flatten(1)


def _hard(plane: Tensor, groups: Groups, sigma: float) -> tuple[Tensor, Tensor]:
    """Threshold the groups of a plane; return sums of blocks (positions, SIDE^2) and of weights."""
    turn = on_blocks(spline_matrix(SIDE))
    table = _blocks(plane) @ turn.t().to(plane)
    total, weights = torch.zeros_like(table), table.new_zeros(len(table))
    for members in groups.by_size():
        haar = haar_matrix(members.shape[1]).to(table)
        group = haar @ table[members]
        kept = group.abs() > THRESHOLD * sigma
        group = haar.t() @ group.where(kept, 0.0)
        weight = 1.0 / kept.sum(dim=(1, 2)).clamp_min(1).to(table.dtype)
        _add(total, weights, members, group, weight)
    return total @ torch.linalg.inv(turn).t().to(plane), weights


def _wiener(plane: Tensor, guide: Tensor, groups: Groups, sigma: float) -> tuple[Tensor, Tensor]:
    """Shrink the groups of a plane by the energy that the guide has in them; return sums as `_hard` does."""
    turn = on_blocks(dct_matrix(SIDE))
    table, told = (_blocks(each) @ turn.t().to(plane) for each in (plane, guide))
    total, weights = torch.zeros_like(table), table.new_zeros(len(table))
    for members in groups.by_size():
        haar = haar_matrix(members.shape[1]).to(table)
        energy = (haar @ told[members]).square_()
        gain = energy / (energy + sigma**2)
        group = haar.t() @ ((haar @ table[members]) * gain)
        weight = 1.0 / gain.square().sum(dim=(1, 2)).clamp_min(DONE)
        _add(total, weights, members, group, weight)
    return total @ turn.to(plane), weights


def _add(total: Tensor, weights: Tensor, members: Tensor, group: Tensor, weight: Tensor) -> None:
    """Add weighted groups (k, size, SIDE^2) to the sums, in place."""
    total.index_add_(0, members.flatten(), (group * weight[:, None, None]).flatten(0, 1))
    weights.index_add_(0, members.flatten(), weight[:, None].expand_as(members).flatten())
