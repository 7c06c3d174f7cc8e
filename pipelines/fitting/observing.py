"""The inputs of an estimator: computed chunk by chunk and sealed, so that a killed fit resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from clearsight.data.contract.estimator import Observation, Observations
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.executors.choice import Backend
from clearsight.data.executors.contract import Sent
from clearsight.data.finite import refuse_non_finite
from clearsight.pipelines.config.conditions import Condition
from clearsight.pipelines.evaluation.image_chunks import ImageChunks, compute_missing
from clearsight.pipelines.evaluation.rows import by_shape
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.systems.graph import OUT

SECONDS = "seconds"
"""Name of the entry that says how long a chunk took."""


@dataclass(frozen=True, kw_only=True)
class Side(ImageChunks):
    """Images of one side, and where the estimator's inputs are kept.

    Attributes:
        name: ``fit`` or ``judge``.
        conditions: one of them is drawn for every image; empty: images stay as they are.
    """

    name: str
    conditions: tuple[Condition, ...]
    seed: int

    @property
    def head(self) -> str:
        """Return what the names of the files begin with."""
        return f"observations/{self.name}-"

    def corrupted(self, sample: Sample) -> Any:
        """Return the image under the condition that is drawn for it, uint8 (h, w, c)."""
        if not self.conditions:
            return sample.image
        rng = Rng(self.seed).at("fit", sample.id)
        condition = self.conditions[int(rng.at("condition").numpy().integers(len(self.conditions)))]
        return condition.corruption(sample.image, rng.at("corrupt"))

    def rows(self) -> Observations:
        """Return a function that starts a pass over the observations; all chunks must exist.

        Raises:
            RunError: a file does not match its seal (when the pass reaches it).
        """

        def once() -> Iterator[Observation]:
            for number, values in zip(self.chunks, self.written(), strict=True):
                for place, entry in enumerate(self.entries[self.members(number)]):
                    assert entry.truth is not None
                    yield Observation(values[str(place)], entry.truth)

        return once

    def seconds(self) -> float:
        """Return how long the chunks took, all calls together."""
        return sum(values[SECONDS].item() for values in self.written())


def observe(
    side: Side, *, workers: int, on_progress: Progress | None, backend: Backend | None = None
) -> None:
    """Compute the chunks that are missing or damaged.

    Raises:
        DataError: an image has changed since it was taken in, or a part gives values that are not finite.
    """
    compute_missing(
        start_observing, side, side.name, workers=workers, on_progress=on_progress, backend=backend
    )


def start_observing(side: Side) -> Callable[..., None]:
    """Return a function that computes one chunk on one thread and writes it."""
    system = side.graph.build().to(side.device)

    def observed(number: int, sent: Sent | None = None) -> None:
        began = perf_counter()
        samples = side.samples(number, sent)
        values: dict[str, Tensor] = {}
        with one_thread(), torch.inference_mode():
            inputs = [side.corrupted(sample) for sample in samples]
            for batch in by_shape(samples, inputs, clean=not side.conditions, measurements=()):
                ids = [samples[i].id for i in batch.members]
                streams = [Rng(side.seed).at("fit", name, "parts") for name in ids]
                out = system.trace(batch.images.to(side.device), streams=streams)[OUT]
                refuse_non_finite(out, f"what reaches the estimator is, of {side.graph.describe()},", ids)
                values |= {
                    str(place): out[i].cpu().contiguous().clone() for i, place in enumerate(batch.members)
                }
        values[SECONDS] = torch.tensor(perf_counter() - began)
        side.write(number, values, sent)

    return observed
