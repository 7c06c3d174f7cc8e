"""What a run found: the contents of ``summary.json``, as it is written and as reports and audits read it.

Fields with a default may be missing in the file: an older version did not write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Literal

from clearsight.data.contract.estimate import Estimate
from clearsight.data.statistics import significant
from clearsight.pipelines.runs.certified import CertificateFacts, CertifiedFigures
from clearsight.pipelines.runs.detected import DetectedClass
from clearsight.pipelines.runs.facts import (
    AttackFacts,
    ComparisonMethod,
    ConditionFacts,
    DataFacts,
    SystemFacts,
    Timing,
)
from clearsight.pipelines.runs.ood import OodFigures, OtherImages
from clearsight.pipelines.runs.risk_coverage import RiskCurve
from clearsight.pipelines.runs.screened import ScreenedFigures
from clearsight.pipelines.runs.stored import from_plain, to_plain

SCHEMA = 1
Verdict = Literal["helps", "hurts", "unclear", "void"]
"""``void`` is the report's own: a clear difference that proves nothing. Runs write the others."""
CheckVerdict = Literal["fine", "suspect", "unreliable"]


@dataclass(frozen=True)
class Ratio(Estimate):
    """A corruption error, and what it was normalised by."""

    source: str


@dataclass(frozen=True)
class StopFacts:
    """When the conditions of a run ended.

    Attributes:
        half_width: of a 95 % interval of an accuracy, in percentage points, that was narrow enough.
        looks: numbers of images after which the intervals were checked; the last is all of them.
    """

    half_width: float
    looks: list[int]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A paired difference from the baseline, of accuracies (or of average precisions), as shares.

    Attributes:
        difference: the mean over images.
        low: lower end of its interval, ``high`` the upper one; all intervals of a system hold jointly.
        verdict: ``unclear`` where the interval contains 0.
        p_adjusted: for all comparisons of the system; None in means over conditions of an older version.
    """

    difference: float
    low: float
    high: float
    verdict: Verdict
    p_adjusted: float | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """A difference of right and wrong under one condition.

    Attributes:
        p: of McNemar's exact test, for this comparison alone.
        gained: images that the system gets right and the baseline wrong; ``lost`` the other way round.
    """

    p: float
    gained: int
    lost: int


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        check: its name.
        verdict: ``suspect`` asks for a second look, ``unreliable`` says that the figure must not be quoted.
        value: what was measured; None where there is no number to it.
        words: one sentence that says what it means and what to do.
    """

    check: str
    verdict: CheckVerdict
    value: float | None
    words: str

    def rounded(self) -> Check:
        """Return it as it is written: ten significant digits, and None for what is no number."""
        known = self.value is not None and isfinite(self.value)
        return replace(self, value=significant(self.value) if self.value is not None and known else None)


@dataclass(frozen=True)
class MemberCost:
    """What one member of a composed attack did: images tried and broken, queries and gradients in all."""

    member: str
    tried: int
    broken: int
    queries: int
    backwards: int


@dataclass(frozen=True)
class AttackCost:
    """What an attack cost an image, how far it went, and how it passed the parts.

    Attributes:
        images: how many were attacked; the means are over these.
        queries: forward passes; ``backwards`` are gradients.
        linf: mean length of the perturbations that are not zero; so are ``l2`` and ``l1``.
        through: part -> how the gradient went through it.
        broken: parts that claim an exact gradient and have none.
    """

    images: int
    queries: float | None = None
    backwards: float | None = None
    linf: float | None = None
    l2: float | None = None
    l1: float | None = None
    through: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    members: list[MemberCost] = field(default_factory=list)

    def length(self, norm: str) -> float | None:
        """Return the mean length of the perturbations in a norm."""
        return {"linf": self.linf, "l2": self.l2, "l1": self.l1}.get(norm)


@dataclass(frozen=True)
class CellFigures:
    """A system under a condition and an attack; ``attacked`` and ``reliable`` are None without an attack."""

    key: str
    system: str
    condition: str
    attack: str
    n: int
    metrics: dict[str, Estimate | None]
    versus: Comparison | Difference | None = None
    attacked: AttackCost | None = None
    checks: list[Check] = field(default_factory=list)
    reliable: bool | None = None


@dataclass(frozen=True)
class GroupFigures:
    """A system over all conditions of a group, under one attack."""

    system: str
    group: str
    attack: str
    conditions: int
    metrics: dict[str, Estimate | None]
    versus: Difference | None = None
    mce: Ratio | None = None
    relative_mce: Ratio | None = None


@dataclass(frozen=True)
class WorstCase:
    """A system against all attacks of one radius together; ``clean``: the unattacked cell counts too."""

    system: str
    condition: str
    norm: str
    eps: float
    attacks: list[str]
    n: int
    clean: bool
    accuracy: Estimate
    majority: Estimate | None
    versus: Comparison | None
    reliable: bool
    unreliable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClassFigures:
    """Accuracy of a system by class in one scenario; ``attack`` is None in a worst case over several."""

    system: str
    attack: str | None
    norm: str | None
    eps: float | None
    attacks: list[str]
    value: list[float | None]
    low: list[float | None]
    high: list[float | None]
    worst: int
    best: int
    spread: float
    by_chance: float


@dataclass(frozen=True)
class PerClass:
    """Accuracy by class on the clean condition; ``n`` are the images of each class."""

    condition: str
    n: list[int]
    entries: list[ClassFigures]


@dataclass(frozen=True)
class Pair:
    """Two systems on the same images, with the uncorrected p of McNemar's test."""

    first: str
    second: str
    p: float


@dataclass(frozen=True)
class PairedScenario:
    """All pairs of systems in one scenario on the clean images."""

    attack: str | None
    norm: str | None
    eps: float | None
    attacks: list[str]
    pairs: list[Pair]


@dataclass(frozen=True)
class RunSummary:
    """The contents of ``summary.json``."""

    schema: int
    name: str
    data: DataFacts
    systems: list[SystemFacts]
    title: str = ""
    key: str = ""
    task: str = "evaluate"
    seed: int | None = None
    started: str = ""
    complete: bool = True
    planned: int | None = None
    """Cells of the config."""
    conditions: list[ConditionFacts] = field(default_factory=list)
    attacks: list[AttackFacts] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cells: list[CellFigures] = field(default_factory=list)
    worst: list[WorstCase] = field(default_factory=list)
    per_class: PerClass | None = None
    pairs: list[PairedScenario] = field(default_factory=list)
    aggregates: list[GroupFigures] = field(default_factory=list)
    kinds: list[GroupFigures] = field(default_factory=list)
    comparison: ComparisonMethod = field(default_factory=ComparisonMethod)
    timing: Timing | None = None
    stop: StopFacts | None = None
    """None where every condition saw all images."""
    certificates: list[CertificateFacts] = field(default_factory=list)
    certified: list[CertifiedFigures] = field(default_factory=list)
    others: list[OtherImages] = field(default_factory=list)
    ood: list[OodFigures] = field(default_factory=list)
    screened: list[ScreenedFigures] = field(default_factory=list)
    """What detectors of attacked images say, where systems have one."""
    risk_curves: list[RiskCurve] = field(default_factory=list)
    """Error by the share of answers that are given, where the run asks for it."""
    detected: list[DetectedClass] = field(default_factory=list)
    """Average precision by class, where systems give boxes."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as the file holds it."""
        return to_plain(self)


def parse_summary(content: Mapping[str, Any]) -> RunSummary:
    """Return what ``summary.json`` holds.

    Raises:
        RunError: it has another schema, or lacks what a summary must have.
    """
    return from_plain(RunSummary, content, noun="summary", schema=SCHEMA, again="summarise the run again")
