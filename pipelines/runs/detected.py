"""How well a system finds the objects of one class, as in ``summary.json``."""

from __future__ import annotations

from dataclasses import dataclass

from clearsight.data.contract.estimate import Estimate


@dataclass(frozen=True)
class DetectedClass:
    """Average precision of one class, of one system under one condition.

    Attributes:
        label: index of the class; ``data.classes`` has its name.
        boxes: true boxes that count.
        ap50: at half overlap.
        difference: from the baseline on the same images, with an interval of its own; None for the baseline.
    """

    system: str
    condition: str
    attack: str
    label: int
    boxes: int
    ap50: Estimate
    difference: Estimate | None = None
