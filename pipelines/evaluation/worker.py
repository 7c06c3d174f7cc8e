"""Measures one chunk of images under one condition through all systems that still need it.

The corrupted batch is made once and sent through every system. Everything here runs on one thread, so that
results do not depend on how many cores or processes there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import cv2
import torch
from safetensors.torch import save
from torch import Tensor

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample
from clearsight.data.disk import LOCAL, Disk, KeptFile
from clearsight.data.executors.contract import Sent, shared_by
from clearsight.data.finite import HINT, refuse_non_finite
from clearsight.data.media.images import encode_png
from clearsight.pipelines.evaluation.attack_batch import (
    Attacked,
    judge_streams,
    loss_before,
    majority,
    under_attack,
)
from clearsight.pipelines.evaluation.certifying import certify_chunk
from clearsight.pipelines.evaluation.job import CellChunk, Job, timing_of
from clearsight.pipelines.evaluation.rows import Batch, by_shape, rows_of, to_uint8
from clearsight.pipelines.evaluation.shared_steps import Clock, SharedSteps
from clearsight.pipelines.runs.folder import Row, rows_to_bytes
from clearsight.pipelines.runs.grid import Cell, CertifiedCell
from clearsight.pipelines.systems.conformal import sets_of
from clearsight.pipelines.systems.graph import OUT, Graph
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.threats import is_attack, victim_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.pipelines.config.conditions import Corrupting
    from clearsight.pipelines.systems.system import Around

ATTACK = "(attack)"
"""What the timings call the time of an attack; no part can have this name."""
CACHE_BYTES = 256 << 20
"""Bytes of decoded images that one process keeps, so as not to decode them for every condition."""


@dataclass
class Bench:
    """Systems and a cache of images in one process."""

    job: Job
    systems: dict[str, System] = field(default_factory=dict)
    further_systems: dict[str, System] = field(default_factory=dict)
    step_keys: dict[str, dict[str, str]] = field(default_factory=dict)
    cache: dict[int, list[Sample]] = field(default_factory=dict)
    cached: int = 0
    disk: Disk = LOCAL
    """Where files go: the driver's where it is another machine."""

    def measure(self, chunk: CellChunk, sent: Sent | None = None) -> int:
        """Compute and store a chunk for its cells; return how many cells that were."""
        self.disk = LOCAL if sent is None else sent.disk
        samples, inputs = shared_by(sent, lambda: (self._samples(chunk.number), None))
        corruption = self.job.corruptions[chunk.condition]
        inputs = inputs or self.job.damaged(chunk.condition, samples)
        clean, measurements = corruption.clean, self.job.measurements
        batches = by_shape(samples, inputs, clean=clean, measurements=measurements)
        shown = self._keep_inputs(chunk, corruption, inputs)
        measured = [cell.system for cell in chunk.cells if not isinstance(cell, CertifiedCell)]
        shared = SharedSteps(self._step_keys(name) for name in measured)
        for cell in chunk.cells:
            if isinstance(cell, CertifiedCell):
                system = self._built(self.job.certifiable[cell.key])
                certify_chunk(self.job, cell, chunk.number, system, samples, batches, self.disk)
            else:
                self._measure_cell(chunk, cell, samples, batches, shown, shared)
        return len(chunk.cells)

    def _measure_cell(
        self,
        chunk: CellChunk,
        cell: Cell,
        samples: list[Sample],
        batches: list[Batch],
        shown: Mapping[Path, bytes],
        shared: SharedSteps,
    ) -> None:
        clock = Clock(self.job.device)
        rows: list[Row] = [{} for _ in samples]
        folder, key, number = self.job.folder, cell.key, chunk.number
        seal = self.job.seal(cell, number, self.disk)
        memories = self.job.memories(cell, number, len(batches), self.disk)
        for path, content in shown.items():
            seal.vouch(path, content)
        facts: list[dict[str, Any]] = []
        kept: dict[str, Tensor] = {}
        for k, batch in enumerate(batches):
            around = partial(shared.around, self._step_keys(cell.system), k)
            columns = self._measure_batch(cell, samples, batch, clock, around, memories[k])
            for i, row in zip(batch.members, columns.rows, strict=True):
                rows[i] = {"id": samples[i].id, "label": samples[i].truth} | row
            for i in set(self._shown_of(number)) & set(batch.members):
                position, at = self.job.positions(number)[i], batch.members.index(i)
                for role, images in columns.images.items():
                    seal.write(folder.image(role, key, position), encode_png(to_uint8(images[at])))
            if columns.attacked:
                facts.append(columns.attacked.facts)
                kept |= {samples[i].id: columns.attacked.images[j] for j, i in enumerate(batch.members)}
        seal.write(folder.timing(key, number), timing_of(self.job, len(samples), clock.seconds))
        if facts:
            seal.write(folder.attack(key, number), json.dumps(facts, allow_nan=False).encode())
        if self.job.attacks[cell.attack].keep:
            seal.write(folder.adversarial(key, number), images_to_bytes(kept))
        seal.write(folder.chunk(key, number), rows_to_bytes(rows, self.job.columns))
        # Last, because it is what marks the chunk as done.
        seal.close()
        for memory in memories:
            memory.remove()

    def _measure_batch(
        self,
        cell: Cell,
        samples: list[Sample],
        batch: Batch,
        clock: Clock,
        around: Callable[[Clock], Around],
        memory: KeptFile,
    ) -> _Found:
        system, images = self._system(cell.system), batch.images.to(self.job.device)
        ids = [samples[i].id for i in batch.members]
        attack, seed = self.job.attacks[cell.attack], self.job.seed
        attacked = None
        if is_attack(attack):
            against = self._attacked_system(cell)
            begin = perf_counter()
            attacked = under_attack(
                attack,
                against,
                batch,
                ids,
                name=cell.system,
                seed=seed,
                device=self.job.device,
                memory=memory,
            )
            clock.add(ATTACK, perf_counter() - begin)
            images = attacked.images
        with torch.inference_mode():
            streams = judge_streams(ids, seed, 0) if system.stochastic else None
            # What was attacked is this system's alone; what was not, other systems see, too.
            values = system.trace(images, clock if attacked else around(clock), streams=streams)
            _refuse_non_finite(system.graph, values, ids, cell)
            votes = None
            if system.stochastic and batch.labels is not None and system.classes:
                votes = majority(system, images, ids, seed=seed, draws=self.job.draws)
            rows = rows_of(
                system.graph,
                values,
                batch,
                self.job.measurements,
                attacked=attacked.images if attacked else None,
                votes=votes,
                sets=sets_of(system, values[OUT], ids, seed),
            )
            if attacked:
                untouched = batch.images.to(self.job.device)
                before = system.trace(untouched, around(Clock(self.job.device)), streams=streams)
                _refuse_non_finite(system.graph, before, ids, cell)
                _add(rows, attacked.columns | {"loss_before": loss_before(before[OUT], batch)})
            _refuse_rows(rows, ids, cell)
        shown = {"cell": values[system.graph.restored]} if system.graph.restored else {}
        if attacked:
            shown["adversarial"] = images
        return _Found(rows, shown, attacked)

    def _attacked_system(self, cell: Cell) -> System:
        """Return the system that the cell's attack is made on, in eval mode on the device."""
        attack = self.job.attacks[cell.attack]
        graph = victim_of(attack, cell.attack, self.job.graphs, cell.system)
        if graph == self.job.graphs[cell.system]:
            return self._system(cell.system)
        return self._built(graph)

    def _built(self, graph: Graph) -> System:
        """Return a system that is not one of the config's, in eval mode on the device."""
        key = graph.fingerprint()
        if key not in self.further_systems:
            self.further_systems[key] = self.job.built(graph)
        return self.further_systems[key]

    def _samples(self, number: int) -> list[Sample]:
        if number in self.cache:
            return self.cache[number]
        samples = self.job.samples(self.job.positions(number))
        size = sum(sample.image.nbytes for sample in samples)
        if self.cached + size <= CACHE_BYTES:
            self.cache[number], self.cached = samples, self.cached + size
        return samples

    def _system(self, name: str) -> System:
        if name not in self.systems:
            self.systems[name] = self.job.built(self.job.graphs[name])
        return self.systems[name]

    def _step_keys(self, name: str) -> dict[str, str]:
        if name not in self.step_keys:
            self.step_keys[name] = self.job.graphs[name].step_keys()
        return self.step_keys[name]

    def _shown_of(self, number: int) -> list[int]:
        return [i for i, position in enumerate(self.job.positions(number)) if position in self.job.shown]

    def _keep_inputs(
        self, chunk: CellChunk, corruption: Corrupting, inputs: Sequence[NDArray[np.uint8]]
    ) -> dict[Path, bytes]:
        """Write the corrupted images that the report shows; return the files with their contents."""
        kept = {}
        for i in self._shown_of(chunk.number):
            position = self.job.positions(chunk.number)[i]
            kept[self.job.folder.image("input", corruption.key(), position)] = encode_png(inputs[i])
        for path, content in kept.items():
            self.disk.write(path, content)
        return kept


@dataclass(frozen=True)
class _Found:
    """What one batch gives: rows, images by role, and the attack if there was one."""

    rows: list[Row]
    images: dict[str, Tensor]
    attacked: Attacked | None


def _refuse_non_finite(graph: Graph, values: Mapping[str, Tensor], ids: Sequence[str], cell: Cell) -> None:
    """Stop at the first part that gives values that are not finite: they would spoil every figure.

    Raises:
        DataError: with the image, the part, the system and the condition.
    """
    for step in graph.every_step:
        what = f"part '{step.part_name}' gives values that are"
        refuse_non_finite(values[step.name], what, ids, where=_place(cell))


def _refuse_rows(rows: Sequence[Row], ids: Sequence[str], cell: Cell) -> None:
    """Stop where a measurement of an image is not finite; None stands for what was not measured.

    Raises:
        DataError: with the image, the column, the system and the condition.
    """
    for name, row in zip(ids, rows, strict=True):
        for column, value in row.items():
            if isinstance(value, float) and not isfinite(value):
                raise DataError(f"'{column}' is not finite for image '{name}'", where=_place(cell), hint=HINT)


def _place(cell: Cell) -> str:
    return f"system '{cell.system}', condition '{cell.condition}'"


def _add(rows: list[Row], columns: Mapping[str, Sequence[Any]]) -> None:
    for name, column in columns.items():
        for row, value in zip(rows, column, strict=True):
            row[name] = value


def images_to_bytes(images: Mapping[str, Tensor]) -> bytes:
    """Return adversarial images as a safetensors file, id -> float32 (c, h, w): without loss."""
    return save({name: image.detach().cpu().contiguous().clone() for name, image in images.items()})


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and OpenCV on one thread in this context, so that sums have the same order everywhere."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    _use_threads(1, 1)
    try:
        yield
    finally:
        _use_threads(*before)


def _use_threads(of_torch: int, of_opencv: int) -> None:
    torch.set_num_threads(of_torch)
    cv2.setNumThreads(of_opencv)


def start_measuring(job: Job) -> Callable[..., int]:
    """Return a function that measures one chunk on one thread and returns the number of its cells."""
    bench = Bench(job)

    def measure(chunk: CellChunk, sent: Sent | None = None) -> int:
        job.refuse_other_kind()
        with one_thread():
            return bench.measure(chunk, sent)

    return measure
