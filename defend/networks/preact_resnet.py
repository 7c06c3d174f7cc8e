"""Pre-activation ResNet for small images (He et al. 2016)."""

from __future__ import annotations

from clearsight.defend.networks.blocks import PreActNet

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Depth -> basic blocks of the four stages."""


class PreActResNet(PreActNet):
    """Four stages of ``width``, 2, 4 and 8 times ``width`` channels; stem of stride 1, without pooling.

    Args:
        classes: number of logits.
        depth: 10, 18 or 34.
        width: channels of the stem and the first stage; 64 in the paper.
        stride: stride of the stem; 2 suits 64 pixels and more.
    """

    def __init__(self, classes: int, depth: int = 18, width: int = 64, stride: int = 1) -> None:
        """Make the layers."""
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        super().__init__(classes, widths, BLOCKS[depth], (stride, 1, 2, 2, 2))
