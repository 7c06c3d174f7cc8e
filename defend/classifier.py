"""`Classifier`: the module that runs any `ClassifierSpec`; checks, normalises, classifies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError, first_line
from clearsight.data.contract.part import Part, check_images
from clearsight.data.user_code import FAULTS
from clearsight.data.weights import load_into
from clearsight.defend.base import ClassifierSpec


class Classifier(Part[ClassifierSpec]):
    """Images (n, 1 or 3, h, w) in [0, 1] to logits (n, classes). Grey images are repeated to RGB.

    Attributes:
        classes: number of logits.
        class_names: their names, empty where unknown.
        place: what messages call this classifier.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: ClassifierSpec) -> None:
        """Build the network, load its weights, switch to eval mode."""
        resolved = spec.resolved()
        super().__init__(resolved)
        self.place = resolved.place
        self.classes, self.class_names = resolved.known_classes, resolved.class_names
        self.minimum = resolved.minimum
        self.register_buffer("mean", torch.tensor(resolved.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(resolved.std).view(1, 3, 1, 1), persistent=False)
        self.network = resolved.network()
        if resolved.weights is not None:
            load_into(self.network, resolved.weights)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits.

        Raises:
            ShapeError: the images have another rank, type, number of channels, or are too small.
            ConfigError: the network does not give one logit a class.
        """
        check_images(x, name=self.spec.name, channels=(1, 3), minimum=self.minimum)
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        x = (self.spec.prepared(x) - self.mean) / self.std
        out = self._called(x) if self.spec.foreign else self.network(x)
        return self.spec.as_logits(self._checked(out, x.shape[0]))

    def _called(self, x: Tensor) -> object:
        """Call a user's network; its own errors become one line that names the part.

        Where a gradient is asked for it gets contiguous images, not channels last as a restorer before it may
        give them: with those torch 2.13 corrupts the heap of a CPU in the backward pass of strided 1x1
        convolutions (`clearsight.pipelines.systems.device.layout`).

        Raises:
            ConfigError: the network fails.
        """
        try:
            return self.network(x.contiguous() if x.requires_grad else x)
        except FAULTS as error:
            raise ConfigError(
                f"the network fails on float32 images {tuple(x.shape)}: {first_line(error)}",
                where=self.place,
                hint="check data.size, and what the network takes",
            ) from error

    def _checked(self, out: object, images: int) -> Tensor:
        # Networks that users bring (code, ONNX files) are first seen at work here.
        if isinstance(out, Tensor) and out.ndim == 2 and out.shape[1] == self.classes:
            # Sizes of an export are symbols, which neither a comparison nor len() may pin down.
            whole = torch.compiler.is_compiling() or out.shape[0] == images
            if whole and not out.is_complex() and out.dtype != torch.bool:
                return out
        given = f"{tuple(out.shape)} of {out.dtype}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
        raise ConfigError(
            f"the network gives {given} for {images} images, not logits (n, {self.classes})",
            where=self.place,
            hint="fix 'classes', or what the network returns",
        )


def features_layer(network: nn.Module) -> nn.Linear | None:
    """Return the last linear layer, whose input are a classifier's features; None where there is none."""
    return next((m for m in reversed([*network.modules()]) if isinstance(m, nn.Linear)), None)
