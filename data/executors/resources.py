"""What one unit of work needs on a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """What one unit needs on a Ray cluster.

    Attributes:
        cpus: cores that it is counted with; it computes on one.
        gpus: share of a GPU, or whole ones.
        memory: GiB that a machine must have left; None: not looked at.
        seconds: after which a unit is stopped and tried on another machine; None: never.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: float | None = None
    seconds: float | None = None
