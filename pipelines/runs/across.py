"""What a comparison of two runs found: made by `analysis.across`, shown on the terminal and as a page."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Literal

from clearsight.data.contract.errors import ConfigError

Change = Literal["better", "worse", "unclear"]
RULE = re.compile(r"^\s*(\w+)\s*([<>])\s*([+-]?\d+(?:\.\d+)?)\s*(clearly)?\s*$")


@dataclass(frozen=True)
class Line:
    """One figure of one system in both runs.

    Attributes:
        system: its name in the second run.
        place: a condition, or a group of conditions.
        attack: name of the attack.
        metric: name of the metric.
        single: True for a condition, False for the mean of a group.
        before: the figure in the first run, as it is written (accuracy in %); ``after`` in the second.
        difference: after less before, with the ends of its interval ``low`` and ``high``.
        p: adjusted for all lines of the system and metric.
        change: ``better`` or ``worse`` where the interval excludes 0.
        digits: decimals that the metric is written with.
        unit: of the figures.
    """

    system: str
    place: str
    attack: str
    metric: str
    single: bool
    before: float
    after: float
    difference: float
    low: float
    high: float
    p: float
    change: Change
    digits: int
    unit: str


@dataclass(frozen=True)
class Across:
    """Two runs side by side.

    Attributes:
        first: name of the first run; ``second`` of the second.
        images: how many both saw.
        lines: what was compared, groups before the conditions in them.
        changed: what is not the same in both: parts, weights.
        left_out: what only one run has, or what cannot be compared, each with the reason.
    """

    first: str
    second: str
    images: int
    lines: list[Line] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    equal: set[str] = field(default_factory=set)
    """Metrics that are equal, image by image, in a system: they have no lines there."""


@dataclass(frozen=True)
class Rule:
    """What must not happen, such as ``accuracy < -1.0``: a bound on differences, as they are written.

    Attributes:
        text: as the user wrote it.
        metric: whose differences.
        below: True where differences below the bound break it, False for those above.
        bound: in the metric's own unit (accuracy: percentage points).
        clearly: only a difference whose interval excludes 0 breaks it.
    """

    text: str
    metric: str
    below: bool
    bound: float
    clearly: bool

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule written in a text.

        Raises:
            ConfigError: the text is no rule.
        """
        match = RULE.match(text)
        if match is None:
            raise ConfigError(
                f"'{text}' is no rule",
                where="--fail-if",
                hint='write "accuracy < -1.0", or "accuracy < -1.0 clearly"',
            )
        metric, sign, bound, clearly = match.groups()
        return cls(text.strip(), metric, sign == "<", float(bound), clearly is not None)

    def broken_by(self, lines: Sequence[Line], equal: Container[str] = ()) -> list[Line]:
        """Return the lines that break it.

        Args:
            lines: what is compared.
            equal: metrics that are equal in both runs, so that they may have no line.

        Raises:
            ConfigError: its metric is not compared, or is equal where a difference of 0 breaks the rule.
        """
        mine = [line for line in lines if line.metric == self.metric]
        if not mine and self.metric not in equal:
            known = ", ".join(sorted({line.metric for line in lines})) or "none"
            raise ConfigError(
                f"no compared metric is called '{self.metric}'", where="--fail-if", hint=f"compared: {known}"
            )
        if not mine and not self.clearly and (self.bound > 0 if self.below else self.bound < 0):
            raise ConfigError(
                f"'{self.metric}' is equal in both runs, image by image, which breaks '{self.text}'",
                where="--fail-if",
            )
        return [line for line in mine if self._breaks(line)]

    def _breaks(self, line: Line) -> bool:
        beyond = line.difference < self.bound if self.below else line.difference > self.bound
        return beyond and (not self.clearly or line.change != "unclear")
