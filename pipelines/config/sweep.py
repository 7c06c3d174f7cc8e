"""`Sweep`: the configuration of ``task: sweep``, as YAML and as a Python object."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import content_key, kind_of
from clearsight.data.sources.base import Source
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.places import put
from clearsight.pipelines.config.tasks import Name, Task
from clearsight.pipelines.config.yaml_reader import load

RUNS = 1000
"""Most runs of a sweep."""
OWN = ("task", "name", "data")
"""What a sweep says for all its runs."""

Values = dict[str, Any]
"""Place in the config -> the value that a run has there."""


class Sweep(Task):
    """Measure a config once for every combination of values; runs share their common cells."""

    command: ClassVar[str] = "sweep"

    task: Literal["sweep"]
    name: Name
    """Goes into the name of the folder."""
    title: str = ""
    """Heading of the page."""
    data: Annotated[Source, Choice(SOURCES)]
    """Images to measure on; left out: those of ``base``, where that is a file."""
    base: dict[str, Any]
    """The fields of ``task: evaluate`` that all runs have, or the path of a config of ``task: evaluate``."""
    axes: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    """Place in the config -> values: ``seed``, ``parts.denoise.weights``, ``attacks.pgd.eps``. Every
    combination is a run."""

    @model_validator(mode="before")
    @classmethod
    def _base_may_be_a_file(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("base"), str):
            return value
        try:
            document = load(value["base"]).value
        except ConfigError as error:
            raise ValueError(str(error)) from None
        whole = document if isinstance(document, dict) else {}
        if whole.get("task") != "evaluate":
            raise ValueError(f"{value['base']} is no config of 'task: evaluate'")
        base = {name: node for name, node in whole.items() if name not in OWN}
        return {"data": whole.get("data")} | value | {"base": base}

    @model_validator(mode="after")
    def _every_run_is_valid(self) -> Self:
        try:
            self.runs()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def runs(self) -> list[tuple[Values, Evaluate]]:
        """Return the values and the config of every run, the last axis fastest.

        Raises:
            ConfigError: a combination is no valid config, or there are too many.
        """
        if (count := prod(map(len, self.axes.values()))) > RUNS:
            raise ConfigError(f"{count:,} runs, at most {RUNS:,} are made", where="axes")
        if taken := [name for name in OWN if name in self.base]:
            raise ConfigError(f"'{taken[0]}' is a field of the sweep itself", where="base")
        data = self.data.model_dump(mode="json", exclude_unset=True) | {"kind": kind_of(self.data)}
        found = []
        for number, chosen in enumerate(product(*self.axes.values())):
            values = dict(zip(self.axes, chosen, strict=True))
            name = f"{self.name[:50]}-{number:03d}"
            node: Any = self.base | {"task": "evaluate", "name": name, "data": data}
            for place, value in values.items():
                node = put(node, place, value, f"axes.{place}")
            try:
                found.append((values, Evaluate.model_validate(node)))
            except ValidationError as error:
                first = error.errors()[0]
                told = ", ".join(f"{place}: {value}" for place, value in values.items())
                raise ConfigError(
                    f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=f"the run with {told}"
                ) from None
        return found

    def key(self) -> str:
        """Return a key of all that decides the figures of the runs, in their order."""
        return content_key([self.axes, [config.identity() for _, config in self.runs()]])

    def ready(self) -> None:
        """Raise `ClearsightError` unless everything that the runs name is available."""
        for _, config in self.runs():
            config.ready()
