"""What a sweep found: made by `sweeping`, shown on the terminal and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from clearsight.data.contract.estimate import Estimate

SWEEP = "sweep.json"
"""File of a sweep's folder that lists its runs; it is there from the beginning."""
RUNS = "runs"
"""Folder of the run folders, below that of the sweep."""


@dataclass(frozen=True)
class SweptRun:
    """One run of a sweep.

    Attributes:
        values: place in the config -> the value that this run has there, as text.
        folder: name of its run folder; empty where it has not been measured yet.
    """

    values: dict[str, str]
    folder: str = ""


@dataclass(frozen=True)
class SweptLine:
    """A system of a run over all conditions of a group, under one attack.

    Attributes:
        values: of the run, in the order of the axes.
        conditions: how many the mean is over.
        figure: of the sweep's metric.
    """

    values: tuple[str, ...]
    system: str
    group: str
    attack: str
    conditions: int
    figure: Estimate


@dataclass(frozen=True)
class Swept:
    """A finished sweep.

    Attributes:
        folder: where everything was written.
        axes: places in the config.
        metric: name of the metric of the lines: the first of the runs.
        runs: in the order of the axes' values, the last axis fastest.
    """

    name: str
    title: str
    folder: str
    axes: list[str]
    metric: str
    runs: list[SweptRun] = field(default_factory=list)
    lines: list[SweptLine] = field(default_factory=list)


def runs_of(sweep: Path) -> list[Path]:
    """Return the run folders of a sweep that have begun to measure."""
    return sorted(path.parent for path in (sweep / RUNS).glob("*/resolved.json"))
