"""Tensors of images, computed chunk by chunk and sealed, so that whoever is killed goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load, save
from torch import Tensor

from clearsight.data.contract.progress import Progress
from clearsight.data.contract.sample import Sample
from clearsight.data.disk import LOCAL, Disk
from clearsight.data.executors.choice import Backend, executor_for
from clearsight.data.executors.contract import Parcel, Sent, shared_by
from clearsight.data.seals import Seal, images_key
from clearsight.data.sources.base import Entry, Source
from clearsight.pipelines.evaluation.job import read_unchanged
from clearsight.pipelines.systems.graph import Graph


@dataclass(frozen=True, kw_only=True)
class ImageChunks:
    """Images that a system is asked about, and where what it says is kept; picklable.

    Attributes:
        folder: that the files lie below.
        key: of everything that decides the values.
        digests: content digest of each image at intake.
        chunk: images computed together.
    """

    folder: Path
    key: str
    source: Source
    entries: tuple[Entry, ...]
    digests: tuple[str, ...]
    graph: Graph
    chunk: int
    device: str

    @property
    def head(self) -> str:
        """Hook: return what the names of the files begin with, below the folder."""
        raise NotImplementedError

    @property
    def chunks(self) -> range:
        """Return the numbers of the chunks."""
        return range(-(-len(self.entries) // self.chunk))

    def members(self, number: int) -> slice:
        """Return which entries a chunk holds."""
        return slice(number * self.chunk, (number + 1) * self.chunk)

    def path(self, number: int) -> Path:
        """Return the file of a chunk."""
        return self.folder / f"{self.head}{number:05d}.safetensors"

    def seal(self, number: int, disk: Disk = LOCAL) -> Seal:
        """Return the seal of a chunk, to be filled (on a disk) or opened."""
        about = {"of": self.key, "chunk": number, "images": images_key(self.entries[self.members(number)])}
        return Seal(self.folder, self.path(number).with_suffix(".json"), about, disk=disk)

    def samples(self, number: int, sent: Sent | None = None) -> list[Sample]:
        """Return the images of a chunk, as they came with it or decoded here.

        Raises:
            DataError: an image has changed since it was taken in.
        """
        members = self.members(number)
        return shared_by(
            sent, lambda: read_unchanged(self.source, self.entries[members], self.digests[members])
        )

    def packed(self, number: int) -> Parcel:
        """Return a chunk with its images, for a worker that does not see this disk."""
        there = self.source.everywhere
        return Parcel(number, (self.head, number), lambda: None if there else self.samples(number), {})

    def write(self, number: int, tensors: Mapping[str, Tensor], sent: Sent | None) -> None:
        """Write what was computed of a chunk under its seal."""
        seal = self.seal(number, LOCAL if sent is None else sent.disk)
        seal.write(self.path(number), save(dict(tensors)))
        seal.close()

    def written(self) -> Iterator[dict[str, Tensor]]:
        """Yield what was computed of each chunk; all must be there.

        Raises:
            RunError: a file does not match its seal (when it is reached).
        """
        for number in self.chunks:
            yield load(self.seal(number).opened().read(self.path(number)))


C = TypeVar("C", bound=ImageChunks)


def compute_missing(
    start: Callable[[C], Callable[..., None]],
    job: C,
    stage: str,
    *,
    workers: int,
    on_progress: Progress | None,
    backend: Backend | None = None,
) -> None:
    """Compute the chunks that are missing or damaged.

    Args:
        start: returns the function that computes and writes one chunk (`Do`).
        job: the chunks.
        stage: what progress calls it.
        workers: processes; 0 is one a core.
        on_progress: called with (stage, done, all).
        backend: where chunks are computed; processes of this machine where left out.
    """
    backend = backend or Backend()
    missing = [number for number in job.chunks if not job.seal(number).intact()]
    done = len(job.chunks) - len(missing)
    count = backend.at_once(workers, job.device)
    results = executor_for(missing, count, where=str(job.folder), backend=backend).map(
        start, job, missing, job.packed
    )
    try:
        for _ in results:
            done += 1
            if on_progress:
                on_progress(stage, done, len(job.chunks))
    finally:
        results.close()
