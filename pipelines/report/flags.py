"""What the truth checks say against the figures of a run, for the page."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.reliability import ORDER, flag_of


@dataclass(frozen=True)
class Flag:
    """What checks found wrong with one figure, in their own words."""

    system: str
    attack: str
    condition: str
    verdict: str
    words: list[str]


def flags(figures: Figures) -> list[Flag]:
    """Return what the checks say against figures, the unreliable ones first."""
    flagged = []
    for cell in figures.cells:
        verdict = flag_of(cell)
        if verdict:
            words = [check.words for check in cell.checks if check.verdict == verdict]
            place = figures.title(cell.condition)
            flagged.append(Flag(cell.system, cell.attack, place, verdict, words))
    return sorted(flagged, key=lambda flag: -ORDER.index(flag.verdict))
