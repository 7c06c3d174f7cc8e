"""A small residual network for 32 to 64 pixels that a CPU can train in minutes."""

from __future__ import annotations

from clearsight.defend.networks.blocks import PreActNet


class SmallConvNet(PreActNet):
    """Three stages of pre-activation blocks with ``width``, 2 and 4 times ``width`` channels.

    Args:
        classes: number of logits.
        width: channels of the stem and the first stage.
        blocks: blocks a stage.
        stride: stride of the stem; 2 quarters the cost, which is what lets a CPU train it.
    """

    def __init__(self, classes: int, width: int = 32, blocks: int = 2, stride: int = 2) -> None:
        """Make the layers."""
        super().__init__(classes, (width, width, 2 * width, 4 * width), (blocks,) * 3, (stride, 1, 2, 2))
