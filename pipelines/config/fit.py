"""`Fit`: the configuration of ``task: fit``, as YAML and as a Python object."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.estimator import Estimator
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import PartSpec, kind_of
from clearsight.data.sources.base import HoldOut, Source
from clearsight.defend.calibrator_base import CalibratorSpec
from clearsight.pipelines.config.conditions import Condition, ConditionNode, StoredSet, expand
from clearsight.pipelines.config.registries import ESTIMATORS, PARTS
from clearsight.pipelines.config.tasks import Name, Task
from clearsight.pipelines.config.train import Publish
from clearsight.pipelines.systems.graph import Graph, Node, wire


class Fit(Task):
    """Fit a part without gradients, such as a temperature, to what a system says of labelled images."""

    command: ClassVar[str] = "fit"
    recipes: ClassVar[str] = "fit"

    task: Literal["fit"]
    name: Name
    """Goes into the name of the folder."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Root of all random streams."""
    chunk: Annotated[int, Field(ge=1, le=4096)] = 64
    """Images computed together."""
    data: Annotated[Source, Choice(SOURCES)]
    """Labelled images that no part was trained on; those that you test with later must not be among them."""
    judge: HoldOut = HoldOut(fraction=0.3)
    """Part of the images that takes no part in the fit and measures it."""
    conditions: dict[Name, ConditionNode] = Field(default_factory=dict)
    """What happens to the images, as in ``task: evaluate``: every image is under one of them, drawn for it.
    Left out: nothing."""
    parts: Annotated[dict[Name, Annotated[PartSpec, Choice(PARTS)]], Field(min_length=1)]
    """Name -> part of the system that stands before the estimator."""
    system: Annotated[tuple[str, ...], Field(min_length=1)] | Annotated[dict[str, Node], Field(min_length=1)]
    """That system, as in ``task: evaluate``: names of parts in order, or nodes of a graph."""
    estimator: Annotated[Estimator, Choice(ESTIMATORS)]
    """What is fitted."""
    publish: Publish = Publish()
    """What the card of the weights says."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            graph = self.graph()
            self.expanded()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if stored := [name for name, node in self.conditions.items() if isinstance(node, StoredSet)]:
            raise ValueError(
                f"conditions.{stored[0]}: files on disk are for measuring, and a fit may not see them;"
                " fit to computed corruptions"
            )
        if self.estimator.told:
            raise ValueError(f"estimator: '{kind_of(self.estimator)}' says already what would be fitted")
        if isinstance(self.estimator, CalibratorSpec) and (
            wrong := self.estimator.misplaced([step.spec for step in graph.steps])
        ):
            raise ValueError(f"estimator: '{kind_of(self.estimator)}' is at the wrong place: {wrong}")
        if self.estimator.takes != (graph.gives,):
            wanted = " and ".join(self.estimator.takes)
            raise ValueError(
                f"estimator: '{kind_of(self.estimator)}' takes {wanted}, but the system gives {graph.gives}"
            )
        return self

    def graph(self) -> Graph:
        """Return the checked system before the estimator."""
        return wire(self.system, self.parts)

    def expanded(self) -> tuple[Condition, ...]:
        """Return every condition, empty where there are none."""
        return tuple(
            Condition(name=name, group=group, corruption=corruption)
            for group, node in self.conditions.items()
            for name, corruption in expand(group, node).items()
        )

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures; the words on the card are left out."""
        return {name: value for name, value in super().identity().items() if name != "publish"}

    def ready(self) -> None:
        """Raise `ClearsightError` unless everything that the config names is available."""
        for spec in (self.data, *self.graph().parts.values()):
            spec.ready()
        for condition in self.expanded():
            condition.corruption.ready()
