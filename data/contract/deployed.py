"""The description that a deployed ONNX file carries. Importing this needs neither torch nor onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from clearsight.data.contract.errors import ConfigError, first_line

KEY = "clearsight"
"""Name of the metadata entry that holds all this as JSON."""
FORMAT = 2
"""Version of the description; increased when an older reader could misread newer files."""
Gives = Literal["logits", "image", "probabilities", "set", "abstains", "suspicion", "alarm"]
BESIDE: Mapping[str, tuple[int, str]] = {
    "probabilities": (2, "float32"),
    "set": (2, "bool"),
    "abstains": (1, "bool"),
    "suspicion": (1, "float32"),
    "alarm": (1, "bool"),
}
"""What stands beside the logits -> its number of axes and its type."""
T = TypeVar("T")


@dataclass(frozen=True)
class Input:
    """The one input of the file.

    Attributes:
        name: of the ONNX input.
        layout: order of the axes.
        dtype: ``float32`` has values in [0, 1], ``uint8`` in 0 to 255; the conversion is inside the file.
        channels: always RGB where 3.
        batch: images per call, None: any number.
        height: pixels, None: any number from ``minimum`` on.
        width: likewise.
        minimum: smallest height and width accepted.
    """

    name: str
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["float32", "uint8"]
    channels: int
    batch: int | None = None
    height: int | None = None
    width: int | None = None
    minimum: int = 1


@dataclass(frozen=True)
class Output:
    """One output of the file.

    Attributes:
        name: of the ONNX output.
        gives: ``logits`` float32 (n, classes); ``image`` in layout and type of the input; ``probabilities``
            float32 (n, classes), of calibrated logits; ``set`` bool (n, classes), the conformal sets;
            ``abstains`` bool (n,), whether an answer is too unsure to be given; ``suspicion`` float32 (n,),
            what a detector says, more for images that look attacked; ``alarm`` bool (n,), whether that is
            too much.
        scale: of an image, its size relative to the input's.
        halo: of an image, input pixels around a tile that its output depends on; None: it depends on the
            whole image, which cannot be tiled.
        multiple_of: of an image, grid that the corners of tiles must lie on.
        threshold: what ``abstains`` and ``alarm`` compare with; None where they have several, or none.
        about: what it promises, in words.
    """

    name: str
    gives: Gives
    scale: int = 1
    halo: int | None = None
    multiple_of: int = 1
    threshold: float | None = None
    about: str = ""


@dataclass(frozen=True)
class Deployed:
    """Everything that is needed to feed a file and to read what comes out.

    Attributes:
        name: of the system in its config.
        chain: the system in words, such as ``image -> denoise -> standard``.
        variant: numeric precision.
        input: what it takes.
        outputs: what it gives: everything but images at most once.
        classes: names of the classes, in order; empty where nothing is classified.
        config_key: content key of the graph and its weights.
        unrestored_key: ``config_key`` of what is left without its restorers, the classifier alone; empty
            where nothing is restored before a classifier. A file that has this key says what this one would
            say of the image as it came.
        weights: id -> sha256.
        versions: package -> version, of the machine that exported.
    """

    name: str
    chain: str
    variant: Literal["fp32", "fp16", "int8"]
    input: Input
    outputs: tuple[Output, ...]
    classes: tuple[str, ...] = ()
    config_key: str = ""
    unrestored_key: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def output(self, gives: str) -> Output | None:
        """Return the first output that gives this, or None."""
        return next((each for each in self.outputs if each.gives == gives), None)

    def to_json(self) -> str:
        """Return the text of the metadata entry."""
        return json.dumps({"format": FORMAT} | asdict(self), sort_keys=True, allow_nan=False)


def read(metadata: Mapping[str, str], where: str) -> Deployed:
    """Return the description of a file.

    Args:
        metadata: the file's metadata entries.
        where: the file, for messages.

    Raises:
        ConfigError: the description is missing, damaged or of a newer format.
    """
    if KEY not in metadata:
        raise ConfigError(
            "it says nothing of its input and classes",
            where=where,
            hint="write it with 'clearsight export'; other classifiers run as a part of kind onnx",
        )
    try:
        fields: dict[str, Any] = json.loads(metadata[KEY])
        found = fields.pop("format")
        if isinstance(found, int) and found > FORMAT:
            raise ConfigError(
                f"it is of format {found}, this clearsight reads up to {FORMAT}", where=where, hint="update"
            )
        fields["input"] = _made(Input, fields["input"])
        for name in ("outputs", "classes"):
            if not isinstance(fields[name], list):
                raise TypeError(f"{name} is {fields[name]!r:.60}")
        fields["outputs"] = tuple(_made(Output, output) for output in fields["outputs"])
        fields["classes"] = tuple(fields["classes"])
        return _made(Deployed, fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"its description is damaged: {first_line(error)}", where=where, hint="export it again"
        ) from None


def _made(kind: type[T], fields: object) -> T:
    """Return a dataclass of values from JSON, each of the type that it is declared with."""
    if not isinstance(fields, dict):
        raise TypeError(f"{kind.__name__} is {fields!r:.60}")
    types = get_type_hints(kind)
    for name, value in fields.items():
        if name in types and not _is(value, types[name]):
            raise TypeError(f"{name} is {value!r:.60}")
    return kind(**fields)


def _is(value: object, declared: Any) -> bool:
    origin, inner = get_origin(declared), get_args(declared)
    if origin is Literal:
        return value in inner
    if origin is UnionType:
        return any(_is(value, each) for each in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is(each, inner[0]) for each in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(
            _is(name, inner[0]) and _is(each, inner[1]) for name, each in value.items()
        )
    if declared is float and isinstance(value, int) and not isinstance(value, bool):
        return True
    # To Python True is an int, but it is not a number of pixels.
    return isinstance(value, declared) and not isinstance(value, bool)
