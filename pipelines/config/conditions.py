"""What may stand below ``conditions``: one corruption, several in order, a set, a stream, stored files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from clearsight.data.benchmark.sets import SETS
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import Spec
from clearsight.data.corruptions.base import BY_SIZE, Corruption, Table
from clearsight.data.corruptions.mixed import MixedCorruption
from clearsight.data.corruptions.sequence import CorruptionSequence, in_order
from clearsight.data.corruptions.stored import StoredDamage
from clearsight.data.sources.cifar_c import CifarC
from clearsight.data.sources.imagenet_c import ImageNetC

if TYPE_CHECKING:
    from clearsight.data.sources.entries import Entry

MOST = 1000
"""Most conditions that one ``each`` may make."""
Severity = Annotated[int, Field(ge=0, le=5)]
Stored = Annotated[int, Field(ge=1, le=5)]
CorruptionChoice = Annotated[Corruption, Choice(CORRUPTIONS)]


class CorruptionSet(Spec):
    """All types of a named set, each at some severities."""

    set: Literal["imagenet_c_15", "imagenet_c_extra_4", "imagenet_c_19"]
    """Which types."""
    severity: Severity | Annotated[tuple[Severity, ...], Field(max_length=6)] = (1, 2, 3, 4, 5)
    """One severity or several."""
    table: Table = BY_SIZE
    """Which severity constants, see any corruption."""

    def expand(self) -> dict[str, Corruption]:
        """Return name -> corruption."""
        levels = (self.severity,) if isinstance(self.severity, int) else self.severity
        return {
            f"{kind}-{level}": CORRUPTIONS.parse({"kind": kind, "severity": level, "table": self.table})
            for kind in SETS[self.set]
            for level in levels
        }


class MixedSet(Spec):
    """A stream: every image gets one type of a named set, drawn for it alone, at one of some severities.

    With a list of corruptions in place of the set's name, every image gets one of them as written.
    """

    mixed: (
        Literal["imagenet_c_15", "imagenet_c_extra_4", "imagenet_c_19"]
        | Annotated[tuple[CorruptionChoice, ...], Field(min_length=2, max_length=MOST)]
    )
    """Which types, or corruptions."""
    severity: Severity | tuple[Severity, ...] = (1, 2, 3, 4, 5)
    """One severity or several."""
    table: Table = BY_SIZE
    """Which severity constants, see any corruption."""

    def corruption(self) -> MixedCorruption:
        """Return what draws for each image."""
        if not isinstance(self.mixed, str):
            return MixedCorruption(choices=self.mixed)
        told = CorruptionSet(set=self.mixed, severity=self.severity, table=self.table)
        return MixedCorruption(choices=tuple(told.expand().values()))


class StoredSet(Spec):
    """The files of a published benchmark instead of corruptions computed here, many conditions at once.

    The images of ``data`` are the undamaged ones, of the size of the benchmark's files. An image that one of
    the conditions lacks is left out of the whole run and named: conditions are compared on equal images.
    """

    on_disk: Literal["imagenet_c", "cifar_c"]
    """Which layout: folders corruption/severity/class, or one array a corruption."""
    path: Annotated[str, Field(min_length=1)]
    """The folder that holds the benchmark, as `imagenet_c` and `cifar_c` below ``data`` take it."""
    set: Literal["imagenet_c_15", "imagenet_c_extra_4", "imagenet_c_19"] | None = None
    """Which types, by the name of a set; left out: the 15 common ones."""
    corruptions: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST)] | None = None
    """Which types, by the names that the benchmark gives them, in place of a set."""
    severity: Stored | Annotated[tuple[Stored, ...], Field(min_length=1, max_length=5)] = (1, 2, 3, 4, 5)
    """One severity or several."""

    @model_validator(mode="after")
    def _says_which_once(self) -> Self:
        if self.set and self.corruptions:
            raise ValueError("corruptions: 'set' says already which types")
        return self

    def expand(self) -> dict[str, StoredDamage]:
        """Return name -> files of one corruption and severity."""
        levels = (self.severity,) if isinstance(self.severity, int) else self.severity
        layout = ImageNetC if self.on_disk == "imagenet_c" else CifarC
        return {
            f"{kind}-{level}": StoredDamage(source=layout(path=self.path, corruption=kind, severity=level))
            for kind in self.corruptions or SETS[self.set or "imagenet_c_15"]
            for level in levels
        }


class Each(BaseModel):
    """One kind at every combination of the listed values; the other fields stay as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    each: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    """Field -> values."""
    kind: str

    @model_validator(mode="after")
    def _can_be_expanded(self) -> Self:
        try:
            self.expand()
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            got = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
            raise ValueError(f"{place + ': ' if place else ''}{message}{got}") from None
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def expand(self) -> dict[str, Corruption]:
        """Return name -> corruption.

        Raises:
            ConfigError: there are more combinations than `MOST`, or a name that is no corruption.
            ValidationError: a combination is no valid corruption.
        """
        if (count := prod(map(len, self.each.values()))) > MOST:
            raise ConfigError(f"'each' makes {count:,} conditions, at most {MOST:,} are taken")
        out = {}
        for values in product(*self.each.values()):
            fields = dict(zip(self.each, values, strict=True))
            corruption = CORRUPTIONS.parse({"kind": self.kind, **(self.model_extra or {}), **fields})
            rest = [f"{name}={value}" for name, value in fields.items() if name != "severity"]
            level = [f"{fields['severity']}"] if "severity" in fields else []
            out["-".join([self.kind, *level, *rest])] = corruption
        return out


def _steps(node: Any) -> Any:
    return node.steps if isinstance(node, CorruptionSequence) else node


InOrder = Annotated[
    tuple[CorruptionChoice, ...],
    BeforeValidator(_steps),
    Field(min_length=1, max_length=50, description="Corruptions that are applied one after the other."),
]


def _form(node: Any) -> str:
    if isinstance(node, (list, tuple, CorruptionSequence)):
        return "in_order"
    for name in ("on_disk", "set", "mixed", "each"):
        if (isinstance(node, dict) and name in node) or hasattr(node, name):
            return name
    return "one"


ConditionNode = Annotated[
    Annotated[StoredSet, Tag("on_disk")]
    | Annotated[CorruptionSet, Tag("set")]
    | Annotated[MixedSet, Tag("mixed")]
    | Annotated[Each, Tag("each")]
    | Annotated[InOrder, Tag("in_order")]
    | Annotated[CorruptionChoice, Tag("one")],
    Discriminator(_form),
]
Corrupting: TypeAlias = Corruption | CorruptionSequence | MixedCorruption | StoredDamage
"""What one condition does to an image."""


def expand(group: str, node: Any) -> dict[str, Corrupting]:
    """Return name -> corruption of what stands below ``conditions`` under the name ``group``."""
    if isinstance(node, (CorruptionSet, Each, StoredSet)):
        return dict(node.expand())
    return {group: node.corruption() if isinstance(node, MixedSet) else in_order(node)}


class Condition(BaseModel):
    """One condition after expansion."""

    model_config = ConfigDict(frozen=True)

    name: str
    group: str
    corruption: Corrupting

    def fitted(self, side: float) -> Condition:
        """Return the condition with severity constants, where left open, settled for this shorter side."""
        return self.model_copy(update={"corruption": self.corruption.fitted(side)})

    def bound(self, entries: Sequence[Entry]) -> Condition:
        """Return the condition for these images, as `Damage.bound` says."""
        return self.model_copy(update={"corruption": self.corruption.bound(entries)})
