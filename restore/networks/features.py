"""Frozen features of a classifier, for losses that compare what images show and not how bright they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval


class FrozenFeatures(nn.Module):
    """Layers of a trained network, permanently in eval mode, with instance-normalised output.

    Parameters take no gradient, but the images do.

    Args:
        layers: run one after the other.
    """

    pretrained = True
    """The training loop draws no fresh weights."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        """Take over the layers and freeze them."""
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.requires_grad_(requires_grad=False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the statistics of the batch normalisation are part of the weights."""
        return super().train(mode=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of images.

        Args:
            x: (n, 3, h, w) in [0, 1].

        Returns:
            (n, channels, rows, columns); each channel of each image has mean 0 and variance 1.
        """
        return normalised(self.layers(2.0 * x - 1.0))


def normalised(x: Tensor) -> Tensor:
    """Standardise every channel of every image over its pixels, at least two (population variance)."""
    return functional.instance_norm(x)


def lite0_layers(network: nn.Module, blocks: int) -> list[nn.Module]:
    """Return the stem and the first blocks of an EfficientNet-Lite, its batch normalisation folded away.

    Folding is exact up to rounding, because the statistics never change, and saves a third of the layers.

    Args:
        network: of the package efficientnet-lite-pytorch; changed in place.
        blocks: how many: 1 to 16 for Lite0.
    """
    network.eval()
    stem, first = _part(network, "_conv_stem"), _part(network, "_bn0")
    layers: list[nn.Module] = [fuse_conv_bn_eval(stem, first), nn.ReLU6()]
    for place in range(blocks):
        block = _part(network, f"_blocks.{place}")
        for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
            if hasattr(block, conv):
                setattr(block, conv, fuse_conv_bn_eval(_part(block, conv), _part(block, norm)))
                setattr(block, norm, nn.Identity())
        layers.append(block)
    return layers


def _part(module: nn.Module, name: str) -> Any:
    return module.get_submodule(name)


class Watched:
    """A classifier that returns features at some depths with its logits.

    Args:
        classifier: any network of convolutions, in eval mode.
        depths: shares in [0, 1] of its depth: 0 is the first convolution that it runs, 1 the last. Without
            any the classifier is left as it is.
    """

    def __init__(self, classifier: nn.Module, depths: Sequence[float]) -> None:
        """Find its convolutions, if features are wanted."""
        self.classifier, self.depths = classifier, tuple(depths)
        layers = classifier.modules() if self.depths else ()
        self.convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]

    def __call__(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits (n, classes) of images, and one feature map (n, c, h, w) per depth.

        Convolutions are counted in the order in which they run. A classifier that shows none (a file of
        another framework) has no features.
        """
        seen: list[Tensor] = []
        hooks = [layer.register_forward_hook(_into(seen)) for layer in self.convolutions]
        try:
            logits: Tensor = self.classifier(x)
        finally:
            for hook in hooks:
                hook.remove()
        places = [round(depth * (len(seen) - 1)) for depth in self.depths] if seen else []
        return logits, [seen[place] for place in places]


def _into(seen: list[Tensor]) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
    return lambda _layer, _inputs, output: seen.append(output)
