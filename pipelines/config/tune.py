"""`Tune`: the configuration of ``task: tune``, as YAML and as a Python object."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import Number, PartSpec, kind_of
from clearsight.data.sources.base import HoldOut, Source
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.config.conditions import ConditionNode
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.config.tasks import Name, Task
from clearsight.restore.base import RestorerSpec
from clearsight.restore.catalogue import RESTORERS

CLASSIFIER = "classifier"
"""Name of the classifier among the parts."""
RESERVED = frozenset({CLASSIFIER, "alone", "image", "out", "untouched", "restored"})
"""Names of nodes and systems that are made here."""
VARIANTS = 100
"""Most variants that one restorer may have."""


class Tune(Task):
    """Search the chain of restorers that helps a classifier most, and write its recipe."""

    command: ClassVar[str] = "tune"

    task: Literal["tune"]
    name: Name
    """Goes into the name of the folder."""
    title: str = ""
    """Heading of the page."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Root of all random streams."""
    chunk: Annotated[int, Field(ge=1, le=4096)] = 50
    """Images computed together."""
    data: Annotated[Source, Choice(SOURCES)]
    """Labelled images to search and to judge on; those that you test with later must not be among them."""
    judge: HoldOut = HoldOut(fraction=0.5)
    """Part of the images that takes no part in the search and judges what was found."""
    judged: Annotated[int, Field(ge=10)] | None = None
    """Images of that part that are used at most; all where left out."""
    classifier: Annotated[ClassifierSpec, Choice(CLASSIFIERS)]
    """The classifier that is to be helped; it stays as it is."""
    restorers: Annotated[
        dict[Name, Annotated[RestorerSpec, Choice(RESTORERS)]], Field(min_length=1, max_length=50)
    ]
    """What chains are made of."""
    vary: dict[Name, Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]] = (
        Field(default_factory=dict)
    )
    """Restorer -> field -> values: every combination takes the restorer's place in turn."""
    gates: dict[Name, Annotated[PartSpec, Choice(PARTS)]] = Field(default_factory=dict)
    """What may join the untouched branch with the restored one: their images, or the classifier's logits for
    both. Every chain is tried without and with each."""
    longest: Annotated[int, Field(ge=1, le=4)] = 2
    """Most restorers in one chain; each at most once, in every order."""
    beside: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    """Chains that are judged in any case, by the names of their restorers: what you use today."""
    conditions: Annotated[dict[Name, ConditionNode], Field(min_length=1)]
    """What happens to your images, as in ``task: evaluate``. In the search every image is under one condition
    of each entry, drawn for it; in the judgement under all of them."""
    weights: dict[Name, Annotated[Number, Field(gt=0)]] = Field(default_factory=dict)
    """Entry of ``conditions`` -> its weight in the score, 1 where left out."""
    first: Annotated[int, Field(ge=10)] = 60
    """Images of the first round."""
    reduction: Annotated[int, Field(ge=2, le=10)] = 3
    """Each round keeps one candidate in this many, on this many times as many images."""
    finalists: Annotated[int, Field(ge=1, le=20)] = 6
    """Candidates at which the search ends."""
    most_ms: Annotated[Number, Field(gt=0)] | None = None
    """Most milliseconds per image that the chosen chain may take with the classifier; left out: any."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            self._check()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def _check(self) -> None:
        for field, names, known in (
            ("vary", self.vary, self.restorers),
            ("weights", self.weights, self.conditions),
            ("beside", [name for chain in self.beside.values() for name in chain], self.parts()),
        ):
            for name in names:
                if name not in known:
                    raise ConfigError(f"no '{name}'", where=field, hint=near_miss(name, known))
        names = [*(label for few in self.variants().values() for label in few), *self.gates]
        if taken := [name for name in names if name in RESERVED or names.count(name) > 1]:
            raise ConfigError(
                f"'{taken[0]}' is the name of something else",
                where="restorers or gates",
                hint="give it another name",
            )
        for name, gate in self.gates.items():
            if not gate.variadic or gate.takes[0] is not gate.gives:
                raise ConfigError(
                    f"'{kind_of(gate)}' joins no two branches",
                    where=f"gates.{name}",
                    hint="use a gate or fusion",
                )

    def variants(self) -> dict[str, dict[str, RestorerSpec]]:
        """Return restorer -> name of each of its variants -> the variant.

        Raises:
            ConfigError: a value does not fit its field, or there are too many.
        """
        return {name: self._variants(name, spec) for name, spec in self.restorers.items()}

    def _variants(self, name: str, spec: RestorerSpec) -> dict[str, RestorerSpec]:
        values = self.vary.get(name, {})
        if (count := prod(map(len, values.values()))) > VARIANTS:
            raise ConfigError(f"{count:,} variants, at most {VARIANTS} are tried", where=f"vary.{name}")
        if not values:
            return {name: spec}
        found = {}
        for chosen in product(*values.values()):
            told = dict(zip(values, chosen, strict=True))
            fields = spec.model_dump(exclude_unset=True) | {"kind": kind_of(spec)} | told
            try:
                variant = RESTORERS.parse(fields)
            except ValidationError as error:
                first = error.errors()[0]
                raise ConfigError(
                    f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=f"vary.{name}"
                ) from None
            found["-".join([name, *(f"{field}-{value}" for field, value in told.items())])[:60]] = variant
        return found

    def parts(self) -> dict[str, PartSpec]:
        """Return every part by name: variants of restorers, gates and the classifier."""
        restorers = {label: spec for few in self.variants().values() for label, spec in few.items()}
        return {**restorers, **self.gates, CLASSIFIER: self.classifier}

    def share(self, group: str) -> float:
        """Return the weight of an entry of ``conditions``; all sum to 1."""
        return self.weights.get(group, 1.0) / sum(self.weights.get(name, 1.0) for name in self.conditions)

    def ready(self) -> None:
        """Raise `ClearsightError` unless everything that the config names is available."""
        for spec in (self.data, *self.parts().values()):
            spec.ready()
