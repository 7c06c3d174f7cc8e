"""`Resources`: what one unit of work needs where units are done on a Ray cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from clearsight.data.contract.spec import Number, Spec


class Resources(Spec):
    """What one unit (a chunk of images under one condition) needs on a Ray cluster; no part of any key."""

    cpus: Annotated[Number, Field(gt=0, le=1024)] = 1.0
    """Cores that it is counted with; it computes on one."""
    gpus: Annotated[Number, Field(ge=0, le=64)] = 0.0
    """Share of a GPU, or whole ones."""
    memory: Annotated[Number, Field(gt=0, le=65536)] | None = None
    """GiB that a machine must have left; left out: not looked at."""
    seconds: Annotated[Number, Field(gt=0)] | None = None
    """After which a unit is stopped and tried on another machine; left out: never."""

    def __str__(self) -> str:
        """Return what ``check`` shows."""
        words = [f"{self.cpus:g} CPUs", f"{self.gpus:g} GPUs"]
        words += [] if self.memory is None else [f"{self.memory:g} GiB of memory"]
        words += [] if self.seconds is None else [f"at most {self.seconds:g} s"]
        return ", ".join(words)
