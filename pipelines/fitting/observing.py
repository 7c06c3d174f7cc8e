"""The inputs of an estimator: computed chunk by chunk and sealed, so that a killed fit resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from clearsight.data.contract.estimator import Observation, Observations
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.cores import processes
from clearsight.data.disk import LOCAL, Disk
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.data.executors.contract import Parcel, Sent, shared_by
from clearsight.data.finite import refuse_non_finite
from clearsight.data.seals import Seal, images_key
from clearsight.data.sources.base import Entry, Source
from clearsight.pipelines.config.conditions import Condition
from clearsight.pipelines.evaluation.job import read_unchanged
from clearsight.pipelines.evaluation.rows import by_shape
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.systems.graph import OUT, Graph

SECONDS = "seconds"
"""Name of the entry that says how long a chunk took."""


@dataclass(frozen=True)
class Side:
    """Images of one side, and where the estimator's inputs are kept; picklable.

    Attributes:
        folder: of the fit.
        name: ``fit`` or ``judge``.
        key: of everything that decides the values.
        digests: content digest of each image at intake.
        conditions: one of them is drawn for every image; empty: images stay as they are.
    """

    folder: Path
    name: str
    key: str
    source: Source
    entries: tuple[Entry, ...]
    digests: tuple[str, ...]
    graph: Graph
    conditions: tuple[Condition, ...]
    seed: int
    chunk: int
    device: str

    @property
    def chunks(self) -> range:
        """Return the numbers of the chunks."""
        return range(-(-len(self.entries) // self.chunk))

    def members(self, number: int) -> slice:
        """Return which entries a chunk holds."""
        return slice(number * self.chunk, (number + 1) * self.chunk)

    def path(self, number: int) -> Path:
        """Return the file of a chunk."""
        return self.folder / "observations" / f"{self.name}-{number:05d}.safetensors"

    def samples(self, number: int) -> list[Sample]:
        """Decode the images of a chunk; raise `DataError` where one has changed."""
        members = self.members(number)
        return read_unchanged(self.source, self.entries[members], self.digests[members])

    def packed(self, number: int) -> Parcel:
        """Return a chunk with its images, for a worker that does not see this disk."""
        there = self.source.everywhere
        return Parcel(number, (self.name, number), lambda: None if there else self.samples(number), {})

    def seal(self, number: int, disk: Disk = LOCAL) -> Seal:
        """Return the seal of a chunk, to be filled (on a disk) or opened."""
        about = {"of": self.key, "chunk": number, "images": images_key(self.entries[self.members(number)])}
        return Seal(self.folder, self.path(number).with_suffix(".json"), about, disk=disk)

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
            for number in self.chunks:
                values = load(self.seal(number).opened().read(self.path(number)))
                for place, entry in enumerate(self.entries[self.members(number)]):
                    assert entry.truth is not None
                    yield Observation(values[str(place)], entry.truth)

        return once

    def seconds(self) -> float:
        """Return how long the chunks took, all calls together."""
        return sum(
            load(self.seal(number).opened().read(self.path(number)))[SECONDS].item() for number in self.chunks
        )


def observe(
    side: Side, *, workers: int, on_progress: Progress | None, backend: Backend | None = None
) -> None:
    """Compute the chunks that are missing or damaged.

    Raises:
        DataError: an image has changed since it was taken in, or a part gives values that are not finite.
    """
    missing = [number for number in side.chunks if not side.seal(number).intact()]
    done = len(side.chunks) - len(missing)
    on_ray = backend is not None and backend.on == "ray"
    count = workers if on_ray else processes(workers, side.device)
    executor = executor_for(missing, count, where=str(side.folder), backend=backend)
    results = executor.map(start_observing, side, missing, side.packed)
    try:
        for _ in results:
            done += 1
            if on_progress:
                on_progress(side.name, done, len(side.chunks))
    finally:
        results.close()


def start_observing(side: Side) -> Callable[..., None]:
    """Return a function that computes one chunk on one thread and writes it."""
    system = side.graph.build().to(side.device)

    def observed(number: int, sent: Sent | None = None) -> None:
        began = perf_counter()
        samples = shared_by(sent, lambda: side.samples(number))
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
        seal = side.seal(number, LOCAL if sent is None else sent.disk)
        seal.write(side.path(number), save(values))
        seal.close()

    return observed
