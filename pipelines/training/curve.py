"""The curve of a run: what every check found, kept in the checkpoint and written beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clearsight.data.home import replace_file
from clearsight.pipelines.training.curve_chart import drawn

NUMBERS, CHART = "curve.json", "curve.svg"


@dataclass
class Counts:
    """What is summed up over steps.

    Attributes:
        steps: how many.
        loss: sum of the losses.
        passes: sum of `Tally.passes`.
    """

    steps: int = 0
    loss: float = 0.0
    passes: int = 0

    def add(self, loss: float, passes: int) -> None:
        """Take in one step."""
        self.steps += 1
        self.loss += loss
        self.passes += passes

    def an_image(self, batch: int) -> float:
        """Return the attack's back-propagations per image, for batches of this size."""
        return self.passes / (self.steps * batch) if self.steps else 0.0


@dataclass(frozen=True)
class Check:
    """One measurement of the validation part during training.

    Attributes:
        share: used-up part of the budget, 0 to 1.
        epoch: passes over the data done, with a fraction.
        step: steps done.
        elapsed: seconds in the loop.
        loss: mean training loss since the previous check; None where no step was done.
        passes: back-propagations of the method's attack since the beginning, summed over images.
        back_propagations: the same an image, since the check before.
        rank: what chooses the checkpoint: greater is better, the second number breaks ties.
        validation: `Score.figure` of the validation part.
        best: whether it beats every check before it.
    """

    share: float
    epoch: float
    step: int
    elapsed: float
    loss: float | None
    passes: int
    back_propagations: float
    rank: tuple[float, float]
    validation: dict[str, Any]
    best: bool

    def facts(self) -> dict[str, Any]:
        """Return it JSON-ready, for the checkpoint and the curve."""
        return asdict(self)


def from_facts(facts: Mapping[str, Any]) -> Check:
    """Return what `Check.facts` wrote."""
    first, second = facts["rank"]
    return Check(**(dict(facts) | {"rank": (float(first), float(second))}))


def write_curve(
    folder: Path,
    name: str,
    checks: Sequence[Check],
    ends: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    chart: bool = True,
) -> None:
    """Write ``curve.json`` and its chart ``curve.svg``; each is there whole or not at all.

    Args:
        folder: run folder.
        name: of the run.
        checks: oldest first.
        ends: after training: ``best`` and ``last``, each with the figures of the parts as the weights are
            stored.
        chart: whether to draw the chart too.
    """
    told = {"name": name, "checks": [check.facts() for check in checks]} | dict(ends or {})
    replace_file(folder / NUMBERS, (json.dumps(told, indent=1, allow_nan=False) + "\n").encode())
    if checks and chart:
        replace_file(folder / CHART, drawn(told).encode())
