"""How well detectors of attacked images do: the figures in ``summary.json``."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.contract.estimate import Estimate

FALSE_ALARMS = 0.05
"""Share of the clean images at which a detector's threshold lies."""


@dataclass(frozen=True)
class ScreenedFigures:
    """What a system's detector says of the images of one cell, at the threshold of 5 % false alarms.

    Attributes:
        threshold: suspicion that 5 % of the clean images exceed.
        alarms: share of the images of the cell above it.
        turned: images that the attack turned: right before, wrong after.
        auroc: probability that a turned image is more suspicious than a clean one, ties count half; None
            where fewer than two were turned.
        caught: share of the turned images above the threshold; None where none was turned.
        evades: share of all images of the cell that were turned and give no alarm: what the attack achieves
            against classifier and detector together; None without an attack.
    """

    system: str
    condition: str
    attack: str
    threshold: float
    alarms: Estimate
    turned: int = 0
    auroc: Estimate | None = None
    caught: Estimate | None = None
    evades: Estimate | None = None
