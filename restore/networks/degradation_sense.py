"""`DegradationSense`: a small network that tells what is wrong with an image, from texture and tone."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearsight.restore.networks.pooling import mean_and_spread
from clearsight.restore.ops.tone import luma

FLOOR = 0.02
"""Added to the standard deviation that an image is divided by: a uniform image stays finite."""
RESIDUAL = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
"""The mask of Immerkaer (1996), blind to anything that is linear along rows or columns."""
RESIDUAL_NORM = 6.0
"""Its norm: white noise of standard deviation s comes out with 6 s."""
BLOCK = 8
"""Side of the blocks whose residuals and grey levels are compared, those of JPEG."""
TONES = 8
"""Number of values that `tones` returns."""


def tones(x: Tensor) -> Tensor:
    """Return statistics of an image's grey levels and of its finest residual, (n, 8); differentiable.

    Least, mean and greatest grey level of blocks of 8x8 pixels, and the least and the mean of their dark
    channel (the darkest colour: haze lifts it, He et al. 2009); logarithm of the least, the mean and the
    greatest residual of such blocks. Noise is in the quietest block too, texture is not.

    Args:
        x: (n, 3, h, w) in [0, 1], at least 16x16.
    """
    grey = luma(x)
    mask = x.new_tensor(RESIDUAL)[None, None] / RESIDUAL_NORM
    residual = functional.avg_pool2d(functional.conv2d(grey, mask).abs(), BLOCK).flatten(1)
    blocks = functional.avg_pool2d(grey, BLOCK).flatten(1)
    darkest = torch.minimum(torch.minimum(x[:, :1], x[:, 1:2]), x[:, 2:])
    dark = functional.avg_pool2d(darkest, BLOCK).flatten(1)
    finest = torch.stack([residual.amin(1), residual.mean(1), residual.amax(1)], dim=1)
    told = [blocks.amin(1), blocks.mean(1), blocks.amax(1), dark.amin(1), dark.mean(1)]
    return torch.cat([torch.stack(told, dim=1), (finest + 1e-3).log()], dim=1)


class DegradationSense(nn.Module):
    """Four convolutions on half-resolution channels, pooled at each level, and the image's own statistics.

    The image is standardised by its own mean and contrast, so that a dark or pale one shows its texture as
    any other does; what that takes away comes back with `tones`. Mean and spread of every channel at every
    level are what decides: noise is in the finest, blur and blocks in what is missing from it.

    Args:
        width: channels of the first level; the next ones have 2, 3 and 4 times as many.
        hidden: units between the pooled features and the output.
        outputs: number of outputs.
    """

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        """Build the layers."""
        super().__init__()
        widths = [width * level for level in (1, 2, 3, 4)]
        self.head = nn.Conv2d(12, width, 3, padding=1)
        self.shrink = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.sense = nn.Linear(2 * sum(widths) + 6 + TONES, hidden)
        self.tell = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs), as they come out of the last layer.

        Args:
            x: (n, 3, h, w) in [0, 1] with even sides of at least 16.
        """
        means, spread = mean_and_spread(x)
        centred = x - means[:, :, None, None]
        contrast = spread.square().mean(dim=1).sqrt()[:, None, None, None] + FLOOR
        y = functional.relu(self.head(functional.pixel_unshuffle(centred / contrast, 2)))
        facts = [means, spread, tones(x), *mean_and_spread(y)]
        for stage in self.shrink:
            y = functional.relu(stage(y))
            facts += mean_and_spread(y)
        told: Tensor = self.tell(functional.relu(self.sense(torch.cat(facts, dim=1))))
        return told
