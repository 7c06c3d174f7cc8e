"""Restoration of large images in tiles that equal the whole image.

Every tile is computed from a window that reaches a halo further than the tile, and only the tile is kept. The
halo is half the receptive field, rounded up to the total stride, and tiles start on multiples of the stride:
so every output pixel sees the very pixels, in the very phase of the strides, that it sees in the whole
image, and nothing has to be blended. Borders are padded only where the image itself ends.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.part import check_images
from clearsight.restore.noise_conditioned import NOISE_LEVEL
from clearsight.restore.ops.enlarged import refuse_huge
from clearsight.restore.ops.pad import pad
from clearsight.restore.tiling.spans import spans, up

if TYPE_CHECKING:
    from clearsight.restore.base import RestorerFacts, RestorerSpec
    from clearsight.restore.restorer import Restorer

Tile: TypeAlias = int | Literal["auto"] | None
"""Side of a tile in input pixels; ``auto`` tiles large images only, None never tiles."""
AUTO_PIXELS = 1024 * 1024
"""Images up to this size are not tiled by ``auto``: 64 channels at full resolution, the widest here, take
256 MB a layer for them, which any machine has, and the halos of tiles would only cost time."""
AUTO_TILE = 512
"""Side of the tiles of ``auto``: halos of 50 pixels add 40 % of work, and 64 channels take 100 MB a layer."""
LEAST_TILE = 64
"""Tiles are not halved below this: the work is nearly all halo then."""
LOG = logging.getLogger(__name__)


def check_tile(spec: RestorerSpec, tile: Tile) -> None:
    """Refuse a restorer that cannot be computed in tiles of a given size.

    Raises:
        ConfigError: a size below one, or a restorer with an unbounded receptive field.
    """
    if not isinstance(tile, int):
        return
    if tile < 1:
        raise ConfigError(f"a tile has at least 1 pixel a side, not {tile}", where="tile")
    if spec.facts.receptive_field is None:
        raise ConfigError(
            "cannot be computed in tiles: every pixel depends on the whole image",
            where=spec.name,
            hint="use tile auto or none, which restore the image as a whole",
        )


def restore_tiled(
    restorer: Restorer,
    x: Tensor,
    tile: Tile = "auto",
    *,
    device: str | torch.device | None = None,
    say: Callable[[str, int], None] | None = None,
) -> Tensor:
    """Restore images of any size in bounded memory; equal to ``restorer(x)`` to 1e-5.

    Where the memory does not suffice, tiles are halved until they fit, and ``say`` is called.

    Args:
        restorer: in eval mode.
        x: (n, c, h, w) in [0, 1].
        tile: side of the tiles in input pixels, rounded up to the restorer's ``multiple_of``. ``auto`` takes
            the whole up to `AUTO_PIXELS` pixels in the batch, and `AUTO_TILE` above; restorers that cannot be
            tiled always get the whole. None: always the whole.
        device: where the restorer's weights are, if not where ``x`` is; windows are copied there one by one.
        say: gets one line and the new side each time that tiles are halved; by default the line is logged
            as a warning.

    Returns:
        (n, c, h * scale, w * scale) on the device of ``x``.

    Raises:
        ConfigError: a restorer that needs the whole image, and a tile size given as a number.
        RunError: not even the smallest tiles, or the whole where it must not be tiled, fit into the memory.
        ShapeError: images that the restorer does not take.
        DataError: the result would be larger than any image that is read.
    """
    spec = restorer.spec
    check_images(x, name=spec.name, channels=restorer.facts.channels)
    refuse_huge(x.shape[2], x.shape[3], restorer.facts.scale, where=spec.name)
    check_tile(spec, tile)
    if tile is None or restorer.facts.receptive_field is None:
        return _fitting(restorer, x, None, device or x.device, say or _log, may_tile=False)
    side = tile if isinstance(tile, int) else _chosen(x)
    done = [
        _fitting(fixed, part, side, device or x.device, say or _log, may_tile=True)
        for fixed, part in _fixed(restorer, x)
    ]
    return done[0] if len(done) == 1 else torch.cat(done)


def restore_chain(
    restorers: Sequence[Restorer],
    x: Tensor,
    tile: Tile = "auto",
    *,
    device: str | torch.device | None = None,
    say: Callable[[str, int], None] | None = None,
) -> Tensor:
    """Restore by one restorer after the other; each is tiled on its own, so halos do not add up.

    Arguments, result and errors are those of `restore_tiled`.
    """
    for restorer in restorers:
        check_tile(restorer.spec, tile)
    scale = prod(restorer.facts.scale for restorer in restorers)
    refuse_huge(x.shape[2], x.shape[3], scale, where=",".join(each.spec.name for each in restorers))
    for restorer in restorers:
        x = restore_tiled(restorer, x, tile, device=device, say=say)
    return x


def _chosen(x: Tensor) -> int | None:
    return None if x.shape[0] * x.shape[2] * x.shape[3] <= AUTO_PIXELS else AUTO_TILE


def _fixed(restorer: Restorer, x: Tensor) -> Iterator[tuple[Restorer, Tensor]]:
    """Yield the batch, or each image by itself where the restorer estimates something from it."""
    spec, facts = restorer.spec, restorer.facts
    images = [x[at : at + 1] for at in range(x.shape[0])]
    # As the whole image is: its noise is judged before it is padded, everything else after.
    judged = images
    if not spec.conditioned_on(NOISE_LEVEL):
        judged = [pad(one, minimum=facts.minimum, multiple_of=facts.multiple_of) for one in images]
    found = [spec.prepared(one) for one in judged]
    if all(one is spec for one in found):
        yield restorer, x
        return
    for fixed, one in zip(found, images, strict=True):
        # The network is shared; only the description differs.
        twin = copy.copy(restorer)
        twin.spec = fixed
        yield twin, one


def _fitting(
    restorer: Restorer,
    x: Tensor,
    side: int | None,
    device: str | torch.device,
    say: Callable[[str, int], None],
    *,
    may_tile: bool,
) -> Tensor:
    """Restore in tiles of this side, or in smaller ones where the memory does not suffice."""
    name = restorer.spec.name
    while True:
        try:
            return _computed(restorer, x, side, device)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            smaller = _smaller(side, x, restorer.facts) if may_tile else None
            if smaller is None:
                raise _too_large(name, x, side, may_tile=may_tile) from error
        # Outside the handler, so that the traceback no longer holds the tensors that did not fit.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        before = "the whole image" if side is None else f"tiles of {side} pixels"
        say(f"{name}: out of memory with {before}, going on with tiles of {smaller} pixels", smaller)
        side = smaller


def _log(line: str, side: int) -> None:
    LOG.warning(line)


def _smaller(side: int | None, x: Tensor, facts: RestorerFacts) -> int | None:
    """Return half the side, or None where it cannot be halved any more."""
    least = max(LEAST_TILE, facts.multiple_of)
    now = min(side or max(x.shape[2:]), max(x.shape[2:]))
    return max(least, now // 2) if now > least else None


def _out_of_memory(error: BaseException) -> bool:
    # On the CPU torch has no error type of its own for this.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def _too_large(name: str, x: Tensor, side: int | None, *, may_tile: bool) -> RunError:
    size = f"{x.shape[3]}x{x.shape[2]}"
    if may_tile:
        tiles = "the smallest tiles" if side is None else f"tiles of {side} pixels"
        return RunError(
            f"out of memory for {size} pixels even with {tiles}",
            where=name,
            hint="free memory, or use the device cpu",
        )
    return RunError(
        f"out of memory for {size} pixels as a whole",
        where=name,
        hint="use tile auto (restorers of unbounded receptive field cannot be tiled), or smaller images",
    )


def _computed(restorer: Restorer, x: Tensor, side: int | None, device: str | torch.device) -> Tensor:
    height, width = x.shape[2:]
    facts = restorer.facts
    if side is None or facts.receptive_field is None or side >= max(height, width):
        whole: Tensor = restorer(x.to(device))
        return whole.to(x.device)
    step, scale = facts.multiple_of, facts.scale
    halo, least = up(facts.receptive_field // 2, step), up(facts.minimum, step)
    rows = spans(height, side, halo=halo, step=step, least=least)
    columns = spans(width, side, halo=halo, step=step, least=least)
    out = x.new_empty(0)
    for row, column in product(rows, columns):
        window = x[:, :, row.first : row.last, column.first : column.last]
        tile = restorer(window.to(device))
        if out.ndim == 1:
            # The number of channels and the type are the restorer's choice.
            out = tile.new_empty((*tile.shape[:2], height * scale, width * scale), device=x.device)
        out[:, :, row.target(scale), column.target(scale)] = tile[
            :, :, row.inside(scale), column.inside(scale)
        ].to(x.device)
    return out
