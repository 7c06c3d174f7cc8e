"""Residual blocks that the networks of this folder share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Shortcut(nn.Conv2d):
    """A strided 1x1 convolution that can be trained on a CPU with channels last.

    torch 2.13 corrupts the heap there in the backward pass of such convolutions, for some numbers of channels
    and sizes. Where its gradient may be asked for, the pixels are picked first and a convolution of stride 1
    follows: the same sums.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs, h / stride, w / stride)."""
        last = x.is_contiguous(memory_format=torch.channels_last)
        if not last or x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        rows, columns = self.stride
        return functional.conv2d(x[:, :, ::rows, ::columns], self.weight, self.bias)


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and ReLU (He et al. 2016, identity mappings).

    Where the shape changes, a 1x1 convolution of the first activation takes the place of the identity.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Make the layers for ``inputs`` to ``outputs`` channels."""
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else Shortcut(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, outputs, h / stride, w / stride)."""
        active = torch.relu(self.norm1(x))
        beside = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return out + beside


def stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """Return ``blocks`` blocks; the first one changes channels and resolution."""
    first = PreActBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(PreActBlock(outputs, outputs) for _ in range(blocks - 1)))


class PreActNet(nn.Module):
    """Stem, stages of `PreActBlock`, batch normalisation, ReLU, global average, linear layer.

    Args:
        classes: number of logits.
        widths: channels of the stem and of each stage.
        blocks: blocks of each stage, one number fewer than ``widths``.
        strides: stride of the stem and of each stage.
    """

    def __init__(
        self, classes: int, widths: tuple[int, ...], blocks: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        """Make the layers."""
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, strides[0], 1, bias=False)
        self.stages = nn.Sequential(
            *(
                stage(inputs, outputs, count, stride)
                for inputs, outputs, count, stride in zip(
                    widths[:-1], widths[1:], blocks, strides[1:], strict=True
                )
            )
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, classes) of normalised images (n, 3, h, w) of any size."""
        features = torch.relu(self.norm(self.stages(self.stem(x))))
        # A mean over both axes, not adaptive pooling: it exports to ONNX with dynamic height and width.
        out: Tensor = self.head(features.mean((2, 3)))
        return out
