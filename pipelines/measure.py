"""Measures one chunk of pictures under one condition through all systems that still need it.

The corrupted batch is made once and sent through every system. Everything here runs on one thread, so that
results do not depend on how many cores or processes there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from data.contract.rng import Rng
from data.contract.sample import Sample
from data.home import replace_file
from data.images import encode_png
from data.sources.base import Entry, Source
from pipelines.graph import Graph
from pipelines.grid import Cell
from pipelines.store import Row, RunFolder, write_rows
from pipelines.system import System
from restore.niqe import niqe
from restore.quality import luminance, psnr, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.corruptions.base import Corruption

CACHE_BYTES = 256 << 20
"""Decoded pictures that one process keeps, so that they are not decoded again for every condition."""


@dataclass(frozen=True)
class Job:
    """What every process must know, plain enough to be sent to it."""

    folder: RunFolder
    source: Source
    entries: tuple[Entry, ...]
    graphs: dict[str, Graph]
    corruptions: dict[str, Corruption]
    seed: int
    chunk: int
    device: str
    extra: frozenset[str]
    """Columns that cost time and are measured only where a metric reads them."""
    shown: frozenset[int]
    """Positions of the pictures that are kept for the report."""

    def positions(self, number: int) -> range:
        """Return which entries chunk ``number`` holds."""
        return range(number * self.chunk, min((number + 1) * self.chunk, len(self.entries)))

    @property
    def chunks(self) -> int:
        """Return how many chunks there are."""
        return -(-len(self.entries) // self.chunk)


@dataclass(frozen=True)
class Task:
    """One chunk under one condition, with the cells that lack it."""

    condition: str
    number: int
    cells: tuple[Cell, ...]


@dataclass
class Bench:
    """Systems and a cache of pictures in one process."""

    job: Job
    systems: dict[str, System] = field(default_factory=dict)
    cache: dict[int, list[Sample]] = field(default_factory=dict)
    cached: int = 0

    def measure(self, task: Task) -> int:
        """Compute and store a chunk for every cell of the task; return how many cells that were."""
        samples = self._samples(task.number)
        corruption = self.job.corruptions[task.condition]
        root = Rng(self.job.seed).at("corrupt")
        inputs = [corruption(sample.image, root.at(sample.id)) for sample in samples]
        batches = _by_shape(samples, inputs, clean=corruption.severity == 0, extra=self.job.extra)
        self._keep_inputs(task, corruption, inputs)
        for cell in task.cells:
            self._measure_cell(task, cell, samples, batches)
        return len(task.cells)

    def _measure_cell(self, task: Task, cell: Cell, samples: list[Sample], batches: list[_Batch]) -> None:
        system = self._system(cell.system)
        clock = _Clock(self.job.device)
        rows: list[Row] = [{} for _ in samples]
        restored: dict[int, NDArray[np.uint8]] = {}
        for batch in batches:
            with torch.inference_mode():
                values = system.trace(batch.images.to(self.job.device), clock)
                found = _rows(system.graph, values, batch, self.job.extra)
            for i, row in zip(batch.members, found, strict=True):
                rows[i] = {"id": samples[i].id, "label": samples[i].label} | row
            if name := system.graph.restored:
                for i in self._shown_of(task.number):
                    if i in batch.members:
                        restored[i] = _to_uint8(values[name][batch.members.index(i)])
        for i, picture in restored.items():
            self._write_picture(f"cell-{cell.key[:16]}", self.job.positions(task.number)[i], picture)
        path = self.job.folder.chunk(cell, task.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        timing = json.dumps({"images": len(samples), "seconds": clock.seconds})
        replace_file(path.with_name(f"timing-{task.number:05d}.json"), timing.encode())
        # Last, because it is what marks the chunk as done.
        write_rows(path, rows)

    def _samples(self, number: int) -> list[Sample]:
        if number in self.cache:
            return self.cache[number]
        positions = self.job.positions(number)
        read = self.job.source.read(self.job.entries[positions.start : positions.stop])
        samples = [sample for sample in read if isinstance(sample, Sample)]
        if len(samples) != len(positions):
            raise OSError("a picture that could be read a moment ago cannot be read any more")
        size = sum(sample.image.nbytes for sample in samples)
        if self.cached + size <= CACHE_BYTES:
            self.cache[number], self.cached = samples, self.cached + size
        return samples

    def _system(self, name: str) -> System:
        if name not in self.systems:
            self.systems[name] = self.job.graphs[name].build().to(self.job.device)
        return self.systems[name]

    def _shown_of(self, number: int) -> list[int]:
        return [i for i, position in enumerate(self.job.positions(number)) if position in self.job.shown]

    def _keep_inputs(self, task: Task, corruption: Corruption, inputs: Sequence[NDArray[np.uint8]]) -> None:
        for i in self._shown_of(task.number):
            name = f"input-{corruption.key()[:16]}"
            self._write_picture(name, self.job.positions(task.number)[i], inputs[i])

    def _write_picture(self, name: str, position: int, picture: NDArray[np.uint8]) -> None:
        folder = self.job.folder.path / "pictures"
        folder.mkdir(exist_ok=True)
        replace_file(folder / f"{name}-{position:06d}.png", encode_png(picture))


@dataclass(frozen=True)
class _Batch:
    members: list[int]
    images: Tensor
    clean: Tensor
    labels: Tensor | None
    psnr_in: list[float | None]
    ssim_in: list[float | None]


def _by_shape(
    samples: Sequence[Sample], inputs: Sequence[NDArray[np.uint8]], *, clean: bool, extra: frozenset[str]
) -> list[_Batch]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault(sample.image.shape, []).append(i)
    out = []
    for members in groups.values():
        truth = _to_tensor([samples[i].image for i in members])
        images = _to_tensor([inputs[i] for i in members])
        labels = [samples[i].label for i in members]
        known = None if None in labels else torch.tensor(labels)
        nothing: list[float | None] = [None] * len(members)
        before = nothing if clean else psnr(images, truth).tolist()
        similar = nothing if clean or "ssim_in" not in extra else ssim(images, truth).tolist()
        out.append(_Batch(members, images, truth, known, before, similar))
    return out


def _rows(graph: Graph, values: dict[str, Tensor], batch: _Batch, extra: frozenset[str]) -> list[Row]:
    columns: dict[str, list[float | None]] = {"psnr_in": batch.psnr_in, "ssim_in": batch.ssim_in}
    if graph.gives == "logits":
        columns |= _scores(values[graph.steps[-1].name].float().cpu(), batch.labels)
    if graph.restored and values[graph.restored].shape == batch.clean.shape:
        restored = values[graph.restored].float().cpu()
        columns["psnr_out"] = psnr(restored, batch.clean).tolist()
        columns |= _extra(restored, batch.clean, extra)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _extra(restored: Tensor, clean: Tensor, extra: frozenset[str]) -> dict[str, list[float | None]]:
    """Return the wanted ones of the columns that compare restored and clean pictures."""
    known: dict[str, Callable[[], Tensor]] = {
        "ssim_out": lambda: ssim(restored, clean),
        "psnr_y_out": lambda: psnr(luminance(restored), luminance(clean)),
        "ssim_y_out": lambda: ssim(luminance(restored), luminance(clean)),
        "niqe_out": lambda: niqe(restored),
    }
    return {name: measure().tolist() for name, measure in known.items() if name in extra}


def _scores(logits: Tensor, labels: Tensor | None) -> dict[str, list[float | None]]:
    probabilities = logits.softmax(1)
    confidence, prediction = probabilities.max(1)
    out = {"prediction": prediction, "confidence": confidence}
    if labels is not None:
        right = labels[:, None]
        others = logits.scatter(1, right, -torch.inf).amax(1)
        out |= {
            "correct": prediction == labels,
            "loss": functional.cross_entropy(logits, labels, reduction="none"),
            "brier": (probabilities - functional.one_hot(labels, logits.shape[1])).square().sum(1),
            "margin": logits.gather(1, right)[:, 0] - others,
        }
    return {name: column.tolist() for name, column in out.items()}


@dataclass
class _Clock:
    """Adds up the seconds of each part."""

    device: str
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, part: str, compute: Callable[[], Tensor]) -> Tensor:
        start = perf_counter()
        out = compute()
        if self.device != "cpu":
            torch.cuda.synchronize()
        self.seconds[part] = self.seconds.get(part, 0.0) + perf_counter() - start
        return out


def _to_tensor(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return stacked.to(torch.float32).div_(255).contiguous()


def _to_uint8(image: Tensor) -> NDArray[np.uint8]:
    scaled = image.float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().numpy()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and OpenCV on one thread for a while, so that sums are formed in one order everywhere."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    _use_threads(1, 1)
    try:
        yield
    finally:
        _use_threads(*before)


def _use_threads(of_torch: int, of_opencv: int) -> None:
    torch.set_num_threads(of_torch)
    cv2.setNumThreads(of_opencv)


_bench: Bench | None = None


def start_worker(job: Job) -> None:
    """Prepare a worker process (the initializer of the pool)."""
    import multiprocessing
    import signal
    import threading

    global _bench
    # Ctrl-C reaches the whole group; the parent decides when its workers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _use_threads(1, 1)
    _bench = Bench(job)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A worker whose parent was killed would wait for work for ever.
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    import os
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)


def work(task: Task) -> int:
    """Measure one task in a worker process."""
    if _bench is None:
        raise RuntimeError("the worker was not started")
    return _bench.measure(task)
