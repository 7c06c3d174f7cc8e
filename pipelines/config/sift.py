"""`Sift`: the configuration of ``task: sift``, as YAML and as a Python object."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import Flow, PartSpec
from clearsight.data.sources.base import Source
from clearsight.defend.catalogue import POISON_FILTERS
from clearsight.defend.poison_filters.base import PoisonFilter
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.config.tasks import Name, Task
from clearsight.pipelines.systems.graph import Graph, Node, wire


class Sift(Task):
    """Name the training images that a trained classifier's features give away as poisoned."""

    command: ClassVar[str] = "sift"
    recipes: ClassVar[str] = "sift"

    task: Literal["sift"]
    name: Name
    """Goes into the name of the folder."""
    chunk: Annotated[int, Field(ge=1, le=4096)] = 64
    """Images computed together."""
    data: Annotated[Source, Choice(SOURCES)]
    """The labelled images that the classifier was trained on."""
    parts: Annotated[dict[Name, Annotated[PartSpec, Choice(PARTS)]], Field(min_length=1)]
    """Name -> part of the system."""
    system: Annotated[tuple[str, ...], Field(min_length=1)] | Annotated[dict[str, Node], Field(min_length=1)]
    """The classifier that was trained on them, as in ``task: evaluate``."""
    filter: Annotated[PoisonFilter, Choice(POISON_FILTERS)]
    """What judges the images."""

    @model_validator(mode="after")
    def _gives_logits(self) -> Self:
        try:
            graph = self.graph()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if graph.gives is not Flow.LOGITS:
            raise ValueError(f"system: gives {graph.gives}; a classifier has to be at its end")
        return self

    def graph(self) -> Graph:
        """Return the checked system."""
        return wire(self.system, self.parts)

    def ready(self) -> None:
        """Raise `ClearsightError` unless everything that the config names is available."""
        for spec in (self.data, *self.graph().parts.values()):
            spec.ready()
        self.graph().ready()
