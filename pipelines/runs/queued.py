"""What a queue of trainings has done so far: written beside the run folders, read by its page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from clearsight.data.home import replace_file

State = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class Training:
    """One training of a queue.

    Attributes:
        name: of its recipe.
        folder: its run folder.
        state: ``stopped`` is one that was running when the queue was ended.
        share: used-up part of its budget, 0 to 1.
        minutes: spent in its loop, over all resumptions.
        found: latest validation figures, in words; once done, those of the stored weights.
        weights: folder of the weights, once they are there.
        error: why it failed.
    """

    name: str
    folder: str
    state: State = "waiting"
    share: float = 0.0
    minutes: float = 0.0
    found: str = ""
    weights: str = ""
    error: str = ""


@dataclass
class Queued:
    """All trainings of a queue, in order.

    Attributes:
        title: name of the queue's file.
        trainings: in the order in which they are done.
        written: when this was written, UTC.
    """

    title: str
    trainings: list[Training] = field(default_factory=list)
    written: str = ""

    def count(self, state: State) -> int:
        """Return how many trainings are in this state."""
        return sum(training.state == state for training in self.trainings)

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        replace_file(path, (json.dumps(asdict(self), indent=1, allow_nan=False) + "\n").encode())
