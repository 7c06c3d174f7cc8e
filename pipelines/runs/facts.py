"""What a run was made of, as in ``summary.json``: data, systems and their parts, conditions, attacks.

Fields with a default may be missing in the file: an older version did not write them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clearsight.data.corruptions.base import is_clean


@dataclass(frozen=True)
class ComparisonMethod:
    """How systems were compared."""

    baseline: str | None = None
    confidence: float = 0.95
    test: str = ""
    correction: str = ""
    comparisons: int | None = None
    interval: str = ""


@dataclass(frozen=True)
class Training:
    """How the weights of a part were trained, and what that cost."""

    method: str | None = None
    init: str | None = None
    machine: str | None = None
    minutes: int | float | None = None
    epochs: int | float | None = None
    steps: int | float | None = None
    back_propagations: int | float | None = None


@dataclass(frozen=True)
class PartFacts:
    """A part of a system."""

    name: str
    kind: str
    spec: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    sha256: str | None = None
    training: Training | None = None
    parameters: int | None = None
    gradient: str | None = None
    stochastic: bool = False
    onnx: str | None = None


@dataclass(frozen=True)
class Time:
    """Median milliseconds an image, with the quantiles 0.025 and 0.975 over chunks."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SystemFacts:
    """A system that was measured."""

    name: str
    chain: str
    baseline: bool = False
    parts: list[PartFacts] = field(default_factory=list)
    ms_per_image: Time | None = None


@dataclass(frozen=True)
class CorruptionStep:
    """One of several corruptions that follow each other."""

    kind: str
    severity: int


@dataclass(frozen=True)
class ConditionFacts:
    """A condition; ``family``: the benchmark's group of its corruption, ``steps``: those of a sequence."""

    name: str
    group: str
    kind: str
    severity: int = 0
    table: str | None = None
    family: str | None = None
    groups: list[str] = field(default_factory=list)
    steps: list[CorruptionStep] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Return whether it leaves images as they are."""
        return is_clean(self.severity)


@dataclass(frozen=True)
class AttackFacts:
    """An attack; all but its name and kind are None for no attack."""

    name: str
    kind: str
    threat: str | None = None
    sees: str | None = None
    source: str | None = None
    through: str | None = None
    norm: str | None = None
    eps: float | None = None


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be used, or a file that was passed over."""

    id: str
    reason: str


@dataclass(frozen=True)
class DataFacts:
    """The images of a run."""

    kind: str
    description: str
    samples: int
    fingerprint: str = ""
    classes: list[str] = field(default_factory=list)
    skipped: list[SkippedImage] = field(default_factory=list)
    passed_over: list[SkippedImage] = field(default_factory=list)
    """Files beside the images: of other endings, hidden, behind links, in no class."""
    synthetic: str = ""
    """``synthetic`` or ``partly synthetic`` where a program drew images; empty for photographs."""


@dataclass(frozen=True)
class Timing:
    """What the last call of the run took; ``machines``: kind of machine -> chunks of cells, of all calls."""

    seconds: float
    workers: int
    machines: dict[str, int] = field(default_factory=dict)
