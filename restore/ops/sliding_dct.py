"""Denoising in the DCT of all overlapping blocks: a convolution, a shrinkage, a transposed convolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from clearsight.restore.ops.block_transforms import dct_matrix, on_blocks
from clearsight.restore.ops.filtering import extend

LARGEST = 100.0
"""Beyond this square of coefficient over threshold all is kept; its sixth power stays within float32."""


def sliding_dct(x: Tensor, threshold: Tensor, side: int) -> Tensor:
    """Shrink the DCT coefficients of every block of an image and average the overlapping results.

    Every block counts by ``1 / (1 + shares kept)``: the less of it is kept, the less noise it holds
    (Guleryuz 2007). Of a coefficient c the share ``u / (1 + u)`` is kept, with ``u = (c / threshold)^12``:
    nearly a step. The mean of a block is always kept.

    Args:
        x: (n, c, h, w); each channel is treated by itself.
        threshold: (n, 1, 1, 1), above 0, for orthonormal coefficients.
        side: of the blocks in pixels.

    Returns:
        (n, c, h, w); a pixel depends on the ``side - 1`` pixels around it on every side. Smooth in ``x``.
    """
    n, channels, height, width = x.shape
    basis = on_blocks(dct_matrix(side)).to(x).view(side**2, 1, side, side)
    reach = side - 1
    planes = extend(x, reach).reshape(n * channels, 1, height + 2 * reach, width + 2 * reach)
    coefficients = conv2d(planes, basis)
    limits = threshold.expand(n, channels, 1, 1).reshape(n * channels, 1, 1, 1)
    power = (coefficients / limits).square().clamp_max(LARGEST)
    # The sixth power; torch's pow takes ten times as long.
    power = power.square() * power
    power = power.square()
    share = power / (1.0 + power)
    weight = 1.0 / (1.0 + share[:, 1:].sum(dim=1, keepdim=True))
    # The mean is the first coefficient, and is added back whole.
    kept = (coefficients * share)[:, 1:]
    total = conv_transpose2d(kept * weight, basis[1:])
    total = total + conv_transpose2d(coefficients[:, :1] * weight, basis[:1])
    parts = conv_transpose2d(weight, basis.new_ones(1, 1, side, side))
    out = (total / parts)[:, :, reach : reach + height, reach : reach + width]
    return out.reshape(n, channels, height, width)
