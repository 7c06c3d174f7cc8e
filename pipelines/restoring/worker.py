"""`Worker`: the restorers of a chain, built once and applied to one image after another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from clearsight.data.finite import refuse_non_finite
from clearsight.data.media.images import to_float, to_uint8
from clearsight.pipelines.restoring.chain import Chain, Step
from clearsight.restore.ops.enlarged import refuse_huge
from clearsight.restore.ops.noise_level import estimate_sigma
from clearsight.restore.restorer import Restorer
from clearsight.restore.tiling.tiling import Tile, check_tile, restore_tiled

LEAST_NOISE = 1e-3
"""A quarter of a grey level: lower estimates are rounding errors, and some methods refuse zero."""
DEEPEST = 65_535
LOG = logging.getLogger(__name__)


class Worker:
    """Applies a chain to images of any size.

    Args:
        chain: what to do.
        tile: side of tiles, see `clearsight.restore.tiling.tiling.restore_tiled`.
        device: ``cpu`` or ``cuda``.
        say: called with one line where tiles have to be made smaller; by default the line is logged.

    Raises:
        ConfigError: a step that cannot be tiled, with a tile size given as a number.
        WeightsError: weights that are damaged.
    """

    def __init__(
        self, chain: Chain, tile: Tile, device: str, say: Callable[[str], None] | None = None
    ) -> None:
        """Check everything and build the steps."""
        self.chain, self.device, self.say = chain, device, say or LOG.warning
        steps = dict.fromkeys((*chain.colour, *chain.grey))
        for step in steps:
            check_tile(step.spec.resolved(), tile)
        self.restorers = {step: step.spec.build().to(device) for step in steps}
        for restorer in self.restorers.values():
            # In this layout convolutions of one image take up to a fifth less time; last bits of sums differ.
            convert_conv2d_weight_memory_format(restorer, torch.channels_last)
        self.tiles: dict[Step, Tile] = dict.fromkeys(steps, tile)

    def __call__(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Restore one image, uint8 or uint16 (h, w, c) with c = 1 or 3; dtype and channels stay the same.

        Raises:
            DataError: a restorer returned values that are not finite, or the result would be too large.
            RunError: the image does not fit into memory.
        """
        deep = pixels.dtype == np.uint16
        planes = (
            pixels.transpose(2, 0, 1)[None].astype(np.float32) / DEEPEST if deep else to_float(pixels[None])
        )
        x = torch.from_numpy(planes)
        steps = self.chain.steps(pixels.shape[2])
        scale = prod(self.restorers[step].facts.scale for step in steps)
        refuse_huge(x.shape[2], x.shape[3], scale, where=",".join(self.chain.words))
        with torch.inference_mode():
            for step in steps:
                x = self._fitted(step, x)
        restored: NDArray[np.float32] = x.numpy()
        if not deep:
            shallow: NDArray[np.uint8] = to_uint8(restored)[0]
            return shallow
        levels = np.rint(restored[0].clip(0, 1) * DEEPEST).astype(np.uint16)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))

    def _fitted(self, step: Step, x: Tensor) -> Tensor:
        """Apply a step in the channels that it takes: grey ones to each plane, colour ones to 3 copies."""
        channels, takes = x.shape[1], self.restorers[step].facts.channels
        if channels in takes:
            return self._applied(step, x)
        if channels == 1:
            return self._applied(step, x.expand(-1, 3, -1, -1)).mean(dim=1, keepdim=True)
        return self._applied(step, x.transpose(0, 1)).transpose(0, 1)

    def _applied(self, step: Step, x: Tensor) -> Tensor:
        restorer: Restorer = self.restorers[step]
        if step.estimate:
            noise = estimate_sigma(x).mean().clamp(LEAST_NOISE, 1.0).item()
            restorer = step.spec.model_copy(update={"sigma": noise}).build().to(self.device)

        def smaller(line: str, side: int) -> None:
            # Later images are likely to be as large.
            self.tiles[step] = side
            self.say(line)

        restored = restore_tiled(restorer, x, self.tiles[step], device=self.device, say=smaller)
        refuse_non_finite(restored, f"what {step.spec.name} gives is")
        return restored
