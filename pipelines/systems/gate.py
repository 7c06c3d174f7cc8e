"""`Gate`: the module that runs any `GateSpec`; hard in the forward pass, soft for attacks."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.part import Part
from clearsight.pipelines.systems.gates.base import GateSpec

S = TypeVar("S", bound=GateSpec)


class Gate(Part[S]):
    """Versions of an image (n, c, h, w) in [0, 1], the untouched one first, to one of them for each image."""

    def __init__(self, spec: S) -> None:
        """Build the network that the gate uses, with its weights loaded."""
        super().__init__(spec)
        self.network = spec.network()
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return for each image the version with the highest score; of equal ones the first.

        Raises:
            ShapeError: the versions differ in shape.
            ConfigError: the gate is not made for this many.
        """
        chosen = self.scored(*inputs).argmax(dim=1)[:, None, None, None]
        out = inputs[0]
        # No branching on data: an exported file computes every branch and chooses.
        for number, image in enumerate(inputs[1:], 1):
            out = torch.where(chosen == number, image, out)
        return out

    def surrogate(self, *inputs: Tensor) -> Tensor:
        """Return the mean of the versions, weighted by the softmax of their scores."""
        weights = (self.scored(*inputs) / self.spec.temperature).softmax(dim=1)
        out: Tensor = (weights[:, :, None, None, None] * torch.stack(inputs, dim=1)).sum(dim=1)
        return out

    def scored(self, *inputs: Tensor) -> Tensor:
        """Return the scores, (n, branches).

        Raises:
            ShapeError: the versions differ in shape.
            ConfigError: the gate is not made for this many.
        """
        self.spec.refuse(len(inputs))
        # Symbolic sizes cannot be compared; an export is checked against this forward.
        if not torch.compiler.is_compiling() and len({tuple(x.shape) for x in inputs}) > 1:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise ShapeError(
                f"its inputs differ in shape: {shapes}",
                where=self.spec.name,
                hint="a restorer that enlarges cannot be one of several versions",
            )
        return self.spec.scores(inputs, self.network)
