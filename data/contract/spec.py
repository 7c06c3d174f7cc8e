"""`Spec`: the frozen description of one thing; the YAML node and the Python object are the same class.

Modules that define specs import neither torch nor OpenCV at module level: the command line builds every
schema without them (``clearsight list`` answers in well under half a second).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from clearsight.data.contract.errors import near_miss
from clearsight.data.hub_names import pinned_name

if TYPE_CHECKING:
    from clearsight.data.contract.part import Part


FRACTION = re.compile(r"\s*([-+]?[0-9]{1,15}(?:\.[0-9]{1,15})?)\s*/\s*([0-9]{1,15})\s*")
"""A quotient by an integer; integers of up to 15 digits are held exactly by floats."""


def _number(value: Any) -> Any:
    """Read ``"8/255"`` as a float; leave everything else to pydantic."""
    if isinstance(value, str):
        try:
            parts = FRACTION.fullmatch(value)
            number = float(parts[1]) / int(parts[2]) if parts else float(value)
        except (ValueError, ZeroDivisionError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"'{value:.40}' is not a number (write 0.03, 2e-4 or 8/255)")
        return number
    return value


Number = Annotated[
    float,
    BeforeValidator(_number),
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\s*-?\d+(\.\d+)?\s*/\s*\d+\s*$"}]}
    ),
]
"""A float that may be written as a fraction: ``8/255``."""


class Spec(BaseModel):
    """Frozen, hashable, serialisable description with a content key.

    Subclasses that can be written in YAML set ``kind: Literal["..."] = "..."``. Raise ``revision`` when the
    behaviour behind equal fields changes, so that old results are not mistaken for new ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    revision: ClassVar[int] = 1
    executes: ClassVar[str] = ""
    """Name of the field that names user code, which using this spec executes."""
    old_names: ClassVar[dict[str, str]] = {}
    """Former names of fields, old -> new: configs, recipes and cards that use them are still read."""
    old_values: ClassVar[dict[str, dict[str, str]]] = {}
    """Former values of fields, field -> old -> new; read like `old_names`."""

    @classmethod
    def in_current_words(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Return fields with former names and values (`old_names`, `old_values`) in today's words."""
        told = {
            new if (new := cls.old_names.get(name)) and new not in fields else name: item
            for name, item in fields.items()
        }
        for name, renamed in cls.old_values.items():
            if isinstance(item := told.get(name), str):
                told[name] = renamed.get(item, item)
        return told

    @model_validator(mode="before")
    @classmethod
    def _known_words_only(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = cls.in_current_words(value)
        # pydantic would refuse it too, but without naming the field that was probably meant.
        if cls.model_config.get("extra") == "forbid":
            for name in value:
                if name not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_field",
                        "unknown field '{field}'; {hint}",
                        {"field": str(name), "hint": near_miss(str(name), cls.model_fields)},
                    )
        return value

    @classmethod
    def needed(cls) -> list[str]:
        """Return the names of the fields that cannot be left out: a word alone does not name such a kind."""
        return [name for name, field in cls.model_fields.items() if field.is_required()]

    def ready(self) -> None:
        """Hook: raise `ClearsightError` unless what this spec names (files, packages, weights) is there.

        It is called before a run starts, and by ``clearsight check``; it imports no torch.
        """

    def pinned(self) -> Self:
        """Return the same spec with names of what may change meanwhile replaced by what it is now.

        A branch of the hub becomes its commit. A run does it once, so that all its processes use the same.
        """
        changed = {}
        for name in type(self).model_fields:
            before = getattr(self, name)
            after = _pinned(before)
            if after is not before:
                changed[name] = after
        return self.model_copy(update=changed) if changed else self

    def identity(self) -> dict[str, Any]:
        """Return the canonical JSON-ready fields plus the revision of every nested spec."""
        return {"revision": self.revision} | {
            name: _identity(getattr(self, name)) for name in type(self).model_fields
        }

    def key(self) -> str:
        """Return 64 hexadecimal digits that stand for everything this spec says."""
        return content_key(self.identity())


def _pinned(value: Any) -> Any:
    """Return a value with every spec in it pinned; itself where nothing changes."""
    if isinstance(value, Spec):
        return value.pinned()
    if isinstance(value, dict):
        items = {name: _pinned(item) for name, item in value.items()}
        return items if any(items[name] is not value[name] for name in value) else value
    if isinstance(value, (list, tuple)):
        listed = [_pinned(item) for item in value]
        same = all(new is old for new, old in zip(listed, value, strict=True))
        return value if same else type(value)(listed)
    return pinned_name(value) if isinstance(value, str) else value


def _identity(value: Any) -> Any:
    if isinstance(value, Spec):
        return value.identity()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(name): _identity(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_identity(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value)


def kind_of(spec: Spec) -> str:
    """Return the ``kind`` that YAML calls a spec by."""
    return str(getattr(spec, "kind", type(spec).__name__))


def content_key(value: Any) -> str:
    """Return the sha256 of the canonical JSON of a JSON-ready value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Gradient(StrEnum):
    """How far autograd's gradient of a part can be trusted."""

    EXACT = "exact"
    """``backward`` through ``forward`` gives the true derivative almost everywhere."""
    SURROGATE = "surrogate"
    """``forward`` blocks or falsifies the gradient; ``surrogate`` is a declared differentiable stand-in."""
    BLOCKED = "blocked"
    """No gradient and no honest stand-in."""


class Flow(StrEnum):
    """What goes from part to part along the edges of a graph."""

    IMAGES = "images"
    """float (n, c, h, w) in [0, 1]."""
    LOGITS = "logits"
    """float (n, classes)."""
    DAMAGE = "damage"
    """float (n, numbers): what a sense says is wrong with each image."""
    SCORE = "score"
    """float (n,): how suspicious each image is. It stands beside a system's output."""
    BOXES = "boxes"
    """float (n, m, 6), the highest score first: x and y of the upper left corner, width and height in pixels
    of the image that goes in, score, class. Rows of class -1 fill up."""


class PartSpec(Spec):
    """Description of something that can stand in a system. The facts below are claims that tests check."""

    takes: ClassVar[tuple[Flow, ...]]
    """What goes in, one entry an input; of a variadic part the one entry stands for every input."""
    gives: ClassVar[Flow]
    """What comes out."""
    variadic: ClassVar[bool] = False
    """True where the part takes any number of inputs."""
    trainable: ClassVar[bool] = False
    """True where the part has a network with parameters of its own, which ``weights`` names. False also for
    networks whose parameters come from elsewhere (a foreign checkpoint, a part inside the part)."""
    conditioning: ClassVar[frozenset[str]] = frozenset()
    """What the part can be told about the degradation: ``noise_level`` (field ``sigma``, the standard
    deviation of the noise for values in [0, 1]), ``kernel`` (field ``kernel``, the blur)."""
    gradient: ClassVar[Gradient] = Gradient.EXACT
    """How far autograd's gradient of the part can be trusted."""
    stochastic: ClassVar[bool] = False
    """True where two calls with equal input may differ."""
    batch_dependent: ClassVar[bool] = False
    """True where an image's output depends on the images beside it: on batch size and order."""
    onnx: ClassVar[str] = "ok"
    """``ok``, or the reason why the part cannot be exported to ONNX."""
    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    weights: str | None = None
    """Id of shipped weights, the path of a folder with ``model.safetensors`` and ``card.json``, or what lies
    on the hub: ``hub:owner/name@revision`` (pip install clearsight[hub])."""

    def fingerprint(self) -> str:
        """Return the key of the resolved spec together with the sha256 of its weights."""
        from clearsight.data.weights import find

        if self.weights is None:
            return self.key()
        return content_key([self.resolved().identity(), find(self.weights).sha256])

    @property
    def decided_by(self) -> str | None:
        """Weights that decide what the part does: its own, or those of a network that it asks."""
        return self.weights

    def conditioned_on(self, fact: str) -> bool:
        """Return whether this part uses such a fact: its fields may switch off what its kind can use.

        Args:
            fact: ``noise_level`` or ``kernel``.
        """
        return fact in self.conditioning

    def resolved(self) -> Self:
        """Return this spec with fields that the user left out taken from the weights' card.

        Raises:
            WeightsError: the weights were trained for other values than those the user wrote.
        """
        from clearsight.data.contract.errors import WeightsError
        from clearsight.data.weights import find

        if self.weights is None:
            return self
        card = find(self.weights).card
        trained = self.in_current_words(card.get("spec", {}))
        if trained.get("kind", self.name) != self.name:
            raise WeightsError(
                f"weights '{self.weights}' belong to kind '{trained['kind']}', not to '{self.name}'",
                hint=f"write kind: {trained['kind']}",
            )
        for name in self.model_fields_set & trained.keys() - {"weights"}:
            mine = self.model_dump(mode="json")[name]
            if name in self.fixed_by_weights and mine != trained[name]:
                raise WeightsError(
                    f"weights '{self.weights}' were trained with {name}: {trained[name]}, not {mine}",
                    hint=f"leave {name} out, or train weights of your own",
                )
        known = type(self).model_fields
        told = {name: value for name, value in trained.items() if name in known}
        mine = self.pinned()
        chosen = {name: getattr(mine, name) for name in self.model_fields_set}
        try:
            return type(self).model_validate(told | chosen)
        except ValidationError as error:
            first = error.errors()[0]
            raise WeightsError(
                f"the card of weights '{self.weights}' does not describe a {self.name}: "
                f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from None

    def ready(self) -> None:
        """Raise `WeightsError` unless the weights are there and fit the fields."""
        self.resolved()

    def weights_inside(self) -> tuple[str, ...]:
        """Return the weights that this part uses: its own and those of the parts inside it."""
        own = () if self.weights is None else (self.weights,)
        inner = (getattr(self, name) for name in type(self).model_fields)
        inside = (part.weights_inside() for part in inner if isinstance(part, PartSpec))
        return own + tuple(weights for each in inside for weights in each)

    def build(self) -> Part[Any]:
        """Hook: return the module that runs this spec, with its weights loaded, in eval mode."""
        raise NotImplementedError

    fixed_by_weights: ClassVar[frozenset[str]] = frozenset()
    """Names of the fields that decide the shapes inside the weights."""

    @property
    def name(self) -> str:
        """Return the kind of this part."""
        return kind_of(self)
