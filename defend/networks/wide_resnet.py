"""Wide residual network (Zagoruyko & Komodakis 2016)."""

from __future__ import annotations

from clearsight.defend.networks.blocks import PreActNet


class WideResNet(PreActNet):
    """WRN-``depth``-``widen``: three stages of 16, 32 and 64 times ``widen`` channels.

    Args:
        classes: number of logits.
        depth: 6 n + 4 layers, n blocks a stage.
        widen: factor on the channels.
        stride: stride of the stem; 2 suits 64 pixels and more.
    """

    def __init__(self, classes: int, depth: int = 28, widen: int = 10, stride: int = 1) -> None:
        """Make the layers."""
        blocks = (depth - 4) // 6
        widths = (16, 16 * widen, 32 * widen, 64 * widen)
        super().__init__(classes, widths, (blocks,) * 3, (stride, 1, 2, 2))
