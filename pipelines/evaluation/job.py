"""`Job`: what every process of a run is given; `CellChunk`: one unit of its work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from clearsight.data.contract.column import Column
from clearsight.data.contract.errors import DataError, RunError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.disk import LOCAL, Disk, KeptFile
from clearsight.data.executors.contract import Parcel
from clearsight.data.seals import Seal, chunk_seal, images_key
from clearsight.data.sources.base import Entry, Source
from clearsight.defend.attacks.base import Attack
from clearsight.defend.certify.base import Certificate
from clearsight.pipelines.metrics.base import Measurement
from clearsight.pipelines.runs.grid import AnyCell, OodCell
from clearsight.pipelines.systems.device import kind_of_machine
from clearsight.pipelines.systems.graph import Graph
from clearsight.pipelines.systems.precision import Precision, compute_in
from clearsight.pipelines.systems.system import System

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.pipelines.config.conditions import Corrupting

CHANGED = "the data changed during the run: run again, and all images are taken in anew"


def read_unchanged(source: Source, entries: Sequence[Entry], digests: Sequence[str]) -> list[Sample]:
    """Decode images that were taken in before.

    Args:
        source: where they come from.
        entries: of the source.
        digests: what each image held when it was taken in.

    Raises:
        DataError: an image has changed since, or is gone.
    """
    samples = []
    for found in source.read(entries, digests):
        if isinstance(found, Skipped):
            raise DataError(found.reason, where=f"image '{found.id}'", hint=CHANGED)
        samples.append(found)
    return samples


@dataclass(frozen=True)
class Job:
    """What every process must know; picklable."""

    folder: RunFolder
    source: Source
    entries: tuple[Entry, ...]
    digests: tuple[str, ...]
    """Content digest of each image at intake; an image that has changed since is refused."""
    graphs: dict[str, Graph]
    corruptions: dict[str, Corrupting]
    attacks: dict[str, Attack]
    seed: int
    draws: int
    """Fresh draws that vote where a system has random parts."""
    chunk: int
    device: str
    measurements: tuple[Measurement, ...]
    """What is measured of every image."""
    shown: frozenset[int]
    """Positions of the images that are kept for the report."""
    certificates: dict[str, Certificate] = field(default_factory=dict)
    certifiable: dict[str, Graph] = field(default_factory=dict)
    """Key of a certified cell -> its system, set to the certificate's noise level."""
    precision: Precision = "fp32"
    """What networks compute in."""
    pinned: str = ""
    """The only kind of machine that may compute; empty: any."""

    def built(self, graph: Graph) -> System:
        """Return a system in eval mode, on the job's device and in its precision."""
        system = graph.build().to(self.device)
        compute_in(system, self.precision, self.device)
        return system

    def refuse_other_kind(self) -> None:
        """Raise `RunError` where the run is pinned to another kind of machine than this one."""
        kind = kind_of_machine(self.device)
        if self.pinned and kind != self.pinned:
            raise RunError(
                f"a machine of another kind would compute a chunk: {kind}, the others: {self.pinned}",
                where="--pin-kind",
                hint="leave such machines out of the cluster, or leave --pin-kind out",
            )

    def certified(self, certificate: Certificate) -> frozenset[int]:
        """Return the positions of the images that a certificate examines, spread over the set."""
        n = len(self.entries)
        # Data are often sorted by class.
        return frozenset(spread(n, n if certificate.images is None else certificate.images))

    def positions(self, number: int) -> range:
        """Return which entries chunk ``number`` holds."""
        return range(number * self.chunk, min((number + 1) * self.chunk, len(self.entries)))

    def samples(self, positions: Sequence[int]) -> list[Sample]:
        """Decode the images at these positions.

        Raises:
            DataError: one has changed since it was taken in, or has gone.
        """
        return read_unchanged(
            self.source, [self.entries[i] for i in positions], [self.digests[i] for i in positions]
        )

    def damaged(self, condition: str, samples: Sequence[Sample]) -> list[NDArray[np.uint8]]:
        """Return the images under a condition, each on the stream of its own id."""
        root = Rng(self.seed).at("corrupt")
        return [self.corruptions[condition].of(sample, root) for sample in samples]

    def seal(self, cell: AnyCell | OodCell, number: int, disk: Disk = LOCAL) -> Seal:
        """Return the seal of a chunk of a cell, to be filled (on a disk) or opened."""
        positions = self.positions(number)
        images = images_key(self.entries[positions.start : positions.stop])
        return chunk_seal(self.folder, cell.key, number, images, disk)

    def memories(self, cell: AnyCell, number: int, batches: int, disk: Disk) -> list[KeptFile]:
        """Return where attacks remember how far they came, one file a batch of a chunk."""
        return [KeptFile(self.folder.partial(cell.key, number, k), disk) for k in range(batches)]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns that are measured."""
        return tuple(column for measurement in self.measurements for column in measurement.columns)

    @property
    def chunks(self) -> int:
        """Return how many chunks there are."""
        return -(-len(self.entries) // self.chunk)


@dataclass(frozen=True)
class CellChunk:
    """One chunk under one condition, with the cells that lack it."""

    condition: str
    number: int
    cells: tuple[AnyCell, ...]

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"chunk {self.number} of condition '{self.condition}'"


def timing_of(job: Job, images: int, seconds: Mapping[str, float]) -> bytes:
    """Return the content of a chunk's timing file: what may differ where results must not."""
    told = {"images": images, "machine": kind_of_machine(job.device), "seconds": dict(seconds)}
    return json.dumps(told, allow_nan=False).encode()


def packed(job: Job, chunk: CellChunk) -> Parcel:
    """Return a chunk with its images, for a worker that does not see this disk.

    Cells that an earlier try has finished are left out, and what an attack remembered of others goes along.
    """
    number, folder, damage = chunk.number, job.folder, job.corruptions[chunk.condition]
    lacking = tuple(cell for cell in chunk.cells if not folder.seal(cell.key, number).exists())
    kept = [path for cell in lacking for path in folder.partials(cell.key, number)]

    def load() -> tuple[list[Sample], list[NDArray[np.uint8]] | None] | None:
        if job.source.everywhere and not damage.reads_disk:
            return None
        samples = job.samples(job.positions(number))
        return samples, job.damaged(chunk.condition, samples) if damage.reads_disk else None

    return Parcel(
        replace(chunk, cells=lacking),
        (number, chunk.condition if damage.reads_disk else None),
        load,
        {path: path.read_bytes() for path in kept},
    )


def spread(n: int, count: int) -> list[int]:
    """Return at most ``count`` of ``n`` positions, at even distances."""
    count = min(count, n)
    return [i * n // count for i in range(count)]
