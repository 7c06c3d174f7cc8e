"""Which measured candidates go on: the Pareto front of score against milliseconds, then that of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log

from clearsight.pipelines.tuning.candidates import Candidate

ALIKE = 1.1
"""Times within about this factor count as equal: a measurement on a busy machine tells no more."""


@dataclass(frozen=True)
class Scored:
    """A candidate with its figures.

    Attributes:
        candidate: which.
        score: weighted mean accuracy over the conditions, 0 to 1.
        ms: milliseconds an image.
    """

    candidate: Candidate
    score: float
    ms: float

    @property
    def speed(self) -> int:
        """Return the class of its time: equal for times that are too close to be told apart."""
        return floor(log(max(self.ms, 1e-6)) / log(ALIKE))

    @property
    def rank(self) -> tuple[float, int, int, int]:
        """Return what orders candidates: score, then time, then fewer parts, then the order of the space."""
        return (-self.score, self.speed, len(self.candidate.parts), self.candidate.place)


def front(scored: Sequence[Scored]) -> list[Scored]:
    """Return the Pareto front of score and time, the best score first.

    Of several with the same score and class of time only the first by `Scored.rank` stays.
    """
    found: list[Scored] = []
    for each in sorted(scored, key=lambda one: one.rank):
        if all(each.speed < better.speed for better in found):
            found.append(each)
    return found


def kept(scored: Sequence[Scored], count: int) -> list[Scored]:
    """Return the ``count`` that go on: the front, then the front of the rest, and so on."""
    left = list(scored)
    chosen: list[Scored] = []
    while left and len(chosen) < count:
        best = front(left)
        chosen += best[: count - len(chosen)]
        left = [each for each in left if each not in best]
    return chosen
