"""Everything that changes while a model trains, and its way into and out of a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.method import MODEL
from clearsight.pipelines.systems.precision import Precision
from clearsight.pipelines.training.average import Average
from clearsight.pipelines.training.checkpoint import Checkpoint, flatten, restore, write
from clearsight.pipelines.training.curve import Check, Counts, from_facts


@dataclass
class State:
    """State between two steps.

    Attributes:
        networks: all modules that take part, in train mode; ``model`` is the one that is kept.
        optimisers: network -> optimiser.
        average: average of the weights, or None.
        step: steps done.
        elapsed: seconds spent in the loop, over all its resumptions.
        checked: scheduled checks that are past.
        best_rank: rank of the best check; None before the first.
        best: weights of the best check.
        curve: what every check found, oldest first.
        whole: sums over all steps; of a run that was begun before they were kept, over those since.
        stretch: the same since the last check.
        precision: what the steps are computed in; None until it is chosen.
    """

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    average: Average | None
    step: int = 0
    elapsed: float = 0.0
    checked: int = 0
    best_rank: tuple[float, float] | None = None
    best: dict[str, Tensor] | None = None
    curve: list[Check] = field(default_factory=list)
    whole: Counts = field(default_factory=Counts)
    stretch: Counts = field(default_factory=Counts)
    precision: Precision | None = None

    @property
    def model(self) -> nn.Module:
        """Return the module whose weights the run publishes."""
        return self.networks[MODEL]

    def candidate(self) -> dict[str, Tensor]:
        """Return the weights that would be kept now: the average's once it has begun, else the model's."""
        if self.average and self.average.steps:
            return self.average.state
        return dict(self.model.state_dict())

    @property
    def history(self) -> tuple[tuple[float, float], ...]:
        """Return the share of the budget of every check so far, and what chose the checkpoint there."""
        return tuple((check.share, check.rank[0]) for check in self.curve)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write a checkpoint."""
        tensors = {f"network.{name}": dict(self.networks[name].state_dict()) for name in self.optimisers}
        tensors |= {f"optimiser.{name}": flatten(each) for name, each in self.optimisers.items()}
        if self.average:
            tensors["average"] = self.average.state
        if self.best:
            tensors["best"] = self.best
        facts = {
            "step": self.step,
            "elapsed": self.elapsed,
            "checked": self.checked,
            "best_rank": self.best_rank,
            "average_steps": self.average.steps if self.average else 0,
            "data": fingerprint,
            "curve": [check.facts() for check in self.curve],
            "whole": asdict(self.whole),
            "stretch": asdict(self.stretch),
            "precision": self.precision,
        }
        write(path, Checkpoint(tensors, facts))

    def resume(self, checkpoint: Checkpoint, path: Path, fingerprint: str) -> None:
        """Take over a checkpoint.

        Args:
            checkpoint: what was read.
            path: of the file, for messages.
            fingerprint: key of what the training images hold.

        Raises:
            RunError: it does not fit the networks, or belongs to other data.
        """
        if checkpoint.facts.get("data") != fingerprint:
            raise RunError(
                "the training data have changed since this checkpoint",
                where=str(path),
                hint="delete the folder to start afresh",
            )
        try:
            for name, each in self.optimisers.items():
                self.networks[name].load_state_dict(checkpoint.tensors[f"network.{name}"])
                restore(each, checkpoint.tensors.get(f"optimiser.{name}", {}))
            if self.average:
                self.average.load(checkpoint.tensors["average"], int(checkpoint.facts["average_steps"]))
            self.step, self.elapsed = int(checkpoint.facts["step"]), float(checkpoint.facts["elapsed"])
            self.checked, self.best = int(checkpoint.facts["checked"]), checkpoint.tensors.get("best")
            rank = checkpoint.facts["best_rank"]
            # Checkpoints of older versions may lack any of these four.
            self.curve = [from_facts(each) for each in checkpoint.facts.get("curve", [])]
            self.whole = Counts(**checkpoint.facts.get("whole", {}))
            self.stretch = Counts(**checkpoint.facts.get("stretch", {}))
            self.precision = checkpoint.facts.get("precision")
            self.best_rank = (float(rank[0]), float(rank[1])) if rank else None
        except (LookupError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"the checkpoint does not fit: {error}",
                where=str(path),
                hint="delete the folder to start afresh",
            ) from None
