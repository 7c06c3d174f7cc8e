"""`System`: the torch module of a `Graph`. Being a module, the whole of it is attacked and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.part import Part
from clearsight.data.contract.spec import Flow
from clearsight.defend.classifier import Classifier
from clearsight.defend.detector import Detector
from clearsight.pipelines.systems.fusion.base import FusionSpec
from clearsight.pipelines.systems.graph import IMAGE, Graph, Step

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng


Around = Callable[[Step, Callable[[], Tensor]], Tensor]
StandIn = Callable[..., Tensor]
"""Takes what the part takes: one input, or several where branches meet."""


class Fusion(Part[FusionSpec]):
    """The module that runs any `FusionSpec`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Fuse tensors of one shape.

        Raises:
            ShapeError: the branches give different shapes.
        """
        # Symbolic sizes cannot be compared; an export is checked against this forward.
        if not torch.compiler.is_compiling() and len({tuple(x.shape) for x in inputs}) > 1:
            shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
            raise ShapeError(f"its inputs differ in shape: {shapes}", where=self.spec.name)
        return self.spec.fuse(inputs)

    def surrogate(self, *inputs: Tensor) -> Tensor:
        """Return the spec's stand-in, for attacks."""
        return self.spec.surrogate(inputs)


class System(nn.Module):
    """Images (n, c, h, w) in [0, 1] to logits (n, classes), to boxes, or to images where there is neither.

    Attributes:
        graph: the description it was built from.
        parts: part name -> module; a part that several nodes use is built once.
    """

    def __init__(self, graph: Graph) -> None:
        """Build every part once.

        Raises:
            ClearsightError: a part cannot be built, or was fitted behind another classifier.
        """
        super().__init__()
        graph.ready()
        self.graph = graph
        # Names are the user's own and may hold characters that module names may not.
        self._number = {name: str(i) for i, name in enumerate(graph.parts)}
        self._modules_by_number = nn.ModuleDict(
            {self._number[name]: spec.build() for name, spec in graph.parts.items()}
        )
        self.eval()

    def part(self, name: str) -> Part[Any]:
        """Return the module of the part called ``name`` in the config."""
        return cast("Part[Any]", self._modules_by_number[self._number[name]])

    @property
    def classes(self) -> int | None:
        """Return the number of logits, None where the system gives images."""
        return self.classifiers[0].classes if self.graph.gives is Flow.LOGITS else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, empty where no classifier knows them."""
        return next((part.class_names for part in self.classifiers if part.class_names), ())

    @property
    def detector(self) -> Detector | None:
        """Return the module whose boxes the system gives; None where it gives something else."""
        last = self.part(self.graph.steps[-1].part_name)
        return last if isinstance(last, Detector) else None

    @property
    def classifiers(self) -> list[Classifier]:
        """Return the modules of all classifiers, in computing order."""
        return [part for part in map(self.part, self.graph.parts) if isinstance(part, Classifier)]

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last node."""
        return self.trace(x)[self.graph.steps[-1].name]

    @property
    def stochastic(self) -> bool:
        """Return True where a part draws random numbers."""
        return any(spec.stochastic for spec in self.graph.parts.values())

    def trace(
        self,
        x: Tensor,
        around: Around | None = None,
        *,
        streams: Sequence[Rng] | None = None,
        stand_ins: Mapping[str, StandIn] | None = None,
    ) -> dict[str, Tensor]:
        """Return the output of every node by name, ``image`` included.

        Args:
            x: images (n, c, h, w) in [0, 1].
            around: called with the step and the computation instead of computing directly (timing).
            streams: one per image, for the random parts; left out, every call draws afresh.
            stand_ins: part name -> differentiable function that the backward pass takes in the part's place.
                The values stay those of the part itself (BPDA, Athalye et al. 2018).
        """
        values = {IMAGE: x}
        for step in self.graph.every_step:
            module, inputs = self.part(step.part_name), [values[name] for name in step.inputs]
            stand_in = (stand_ins or {}).get(step.part_name)

            def compute(
                module: Part[Any] = module, inputs: list[Tensor] = inputs, stand_in: StandIn | None = stand_in
            ) -> Tensor:
                out: Tensor = module(*inputs) if stand_in is None else _straight(module, inputs, stand_in)
                return out

            if step.spec.stochastic and streams is not None:
                module.streams = [stream.at(step.name) for stream in streams]
            values[step.name] = compute() if around is None else around(step, compute)
            if step.spec.stochastic:
                module.streams = None
        return values


def _straight(module: Part[Any], inputs: list[Tensor], stand_in: StandIn) -> Tensor:
    with torch.no_grad():
        out: Tensor = module(*inputs)
    if not torch.is_grad_enabled():
        return out
    away = stand_in(*inputs)
    # The bracket is exactly zero, so the value is the part's own to the last bit.
    return out + (away - away.detach())
