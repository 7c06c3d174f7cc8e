"""Super-resolver with parameter-free attention and re-parameterised convolutions, after SPAN.

SPAN: Wan et al. 2024, Swift Parameter-free Attention Network. Different here: the branches are fused in the
space of kernels, also while training, which therefore costs hardly more than the plain network; inside the
blocks ReLU, which is cheaper than SiLU; and the output is added to the image enlarged by cubic convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clearsight.restore.networks.cubic import Cubic


class FusedConv(nn.Module):
    """3x3 convolution whose kernel is a sum of branches: 3x3, 1x1, 1x1-3x3-1x1 and the identity.

    An export in eval mode contains the fused kernel only.

    Args:
        inputs: channels in.
        outputs: channels out.
        identity: with the identity branch; ``outputs`` then equal ``inputs``.
        gain: channels inside the long branch over those outside.
    """

    fused: Tensor | None

    def __init__(self, inputs: int, outputs: int, *, identity: bool = False, gain: int = 2) -> None:
        """Make the branches."""
        super().__init__()
        self.wide = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.before = nn.Conv2d(inputs, gain * inputs, 1, bias=False)
        self.within = nn.Conv2d(gain * inputs, gain * outputs, 3, padding=1, bias=False)
        self.after = nn.Conv2d(gain * outputs, outputs, 1, bias=False)
        self.identity = identity
        self.register_buffer("fused", None, persistent=False)
        # Weights that are loaded in eval mode must not leave an old kernel to the export.
        self.register_load_state_dict_post_hook(_fuse_again)  # type: ignore[no-untyped-call]

    def init_weights(self) -> None:
        """Start as the 3x3 branch (plus the identity): the others grow from zero."""
        nn.init.zeros_(self.point.weight)
        nn.init.zeros_(self.after.weight)

    def kernel(self) -> Tensor:
        """Return the sum of the branches, (outputs, inputs, 3, 3)."""
        # Without biases in between, three convolutions in a row are one: their kernels are composed.
        inner = functional.conv2d(self.within.weight, self.before.weight.transpose(0, 1))
        long = torch.matmul(self.after.weight.flatten(1), inner.flatten(1)).view_as(self.wide.weight)
        middle = self.point.weight
        if self.identity:
            eye = torch.eye(middle.shape[0], dtype=middle.dtype, device=middle.device)
            middle = middle + eye[:, :, None, None]
        return self.wide.weight + long + functional.pad(middle, (1, 1, 1, 1))

    def train(self, mode: bool = True) -> FusedConv:
        """Switch the mode; in eval mode the fused kernel is kept ready for the export."""
        super().train(mode)
        self.fused = None
        if not mode and not self.wide.weight.is_meta:
            with torch.no_grad():
                self.fused = self.kernel()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs, h, w) for (n, inputs, h, w)."""
        # Outside an export the kernel is summed again: it takes microseconds, and cannot be out of date.
        ready = self.fused if torch.compiler.is_compiling() else None
        kernel = self.kernel() if ready is None else ready
        return functional.conv2d(x, kernel, self.wide.bias, padding=1)


def _fuse_again(module: nn.Module, _: Any) -> None:
    module.train(module.training)


class Block(nn.Module):
    """Three convolutions and an attention without parameters: the last features weigh themselves.

    ``(x + f) * (sigmoid(f) - 1/2)``: odd in f, so that strong features of either sign pass and weak ones
    are damped.
    """

    def __init__(self, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.conv1 = FusedConv(width, width, identity=True)
        self.conv2 = FusedConv(width, width, identity=True)
        self.conv3 = FusedConv(width, width, identity=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, width, h, w) for the same."""
        f = self.conv3(torch.relu(self.conv2(torch.relu(self.conv1(x)))))
        out: Tensor = (x + f) * (torch.sigmoid(f) - 0.5)
        return out


class Span(nn.Module):
    """First convolution, blocks, one convolution over first, second and last features, PixelShuffle.

    Args:
        scale: output size / input size.
        width: channels of the features.
        blocks: number of blocks.
    """

    def __init__(self, scale: int, width: int, blocks: int) -> None:
        """Make the layers."""
        super().__init__()
        self.scale = scale
        self.first = FusedConv(3, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.last = FusedConv(width, width, identity=True)
        self.merge = nn.Conv2d(3 * width, width, 1)
        self.up = FusedConv(width, 3 * scale**2)
        self.cubic = Cubic(scale)

    def init_weights(self) -> None:
        """Start as cubic convolution: the network's own output is zero."""
        nn.init.zeros_(self.up.wide.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 3, h scale, w scale) for (n, 3, h, w) of any size."""
        first = self.first(x - 0.5)
        features, early = first, first
        for index, block in enumerate(self.blocks):
            features = block(features)
            early = features if index == 0 else early
        joined = self.merge(torch.cat((first, early, self.last(features)), dim=1))
        return functional.pixel_shuffle(self.up(joined) + self.cubic.phases(x), self.scale)
