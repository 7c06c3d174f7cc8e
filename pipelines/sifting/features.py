"""What a classifier's last linear layer is given, image by image: computed in chunks under seals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load, save

from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.cores import processes
from clearsight.data.executors.choice import executor_for
from clearsight.data.finite import refuse_non_finite
from clearsight.data.seals import Seal, images_key
from clearsight.data.sources.base import Entry, Source
from clearsight.pipelines.evaluation.job import read_unchanged
from clearsight.pipelines.evaluation.rows import by_shape
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.systems.graph import Graph
from clearsight.pipelines.systems.target import watched_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Watched:
    """Images whose features are wanted, and where they are kept; picklable.

    Attributes:
        folder: of the task.
        key: of everything that decides the values.
        digests: content digest of each image at intake.
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
    def chunks(self) -> range:
        """Return the numbers of the chunks."""
        return range(-(-len(self.entries) // self.chunk))

    def members(self, number: int) -> slice:
        """Return which entries a chunk holds."""
        return slice(number * self.chunk, (number + 1) * self.chunk)

    def path(self, number: int) -> Path:
        """Return the file of a chunk."""
        return self.folder / "features" / f"{number:05d}.safetensors"

    def seal(self, number: int) -> Seal:
        """Return the seal of a chunk, to be filled or opened."""
        about = {"of": self.key, "chunk": number, "images": images_key(self.entries[self.members(number)])}
        return Seal(self.folder, self.path(number).with_suffix(".json"), about)


def features_of(watched: Watched, *, workers: int, on_progress: Progress | None) -> NDArray[np.float64]:
    """Return the features of all images, (n, d); chunks that are there and whole are not computed again.

    Raises:
        DataError: an image has changed since it was taken in, or features are not finite.
        AttackError: the classifier has no linear layer.
    """
    missing = [number for number in watched.chunks if not watched.seal(number).intact()]
    done = len(watched.chunks) - len(missing)
    executor = executor_for(missing, processes(workers, watched.device), where=str(watched.folder))
    results = executor.map(start_watching, watched, missing)
    try:
        for _ in results:
            done += 1
            if on_progress:
                on_progress("features", done, len(watched.chunks))
    finally:
        results.close()
    found = [load(watched.seal(n).opened().read(watched.path(n)))["features"] for n in watched.chunks]
    return torch.cat(found).to(torch.float64).numpy()


def start_watching(watched: Watched) -> Callable[[int], None]:
    """Return a function that computes one chunk on one thread and writes it."""
    system = watched.graph.build().to(watched.device)

    def seen(number: int) -> None:
        members = watched.members(number)
        samples = read_unchanged(watched.source, watched.entries[members], watched.digests[members])
        rows: dict[int, torch.Tensor] = {}
        with one_thread(), torch.inference_mode():
            images = [sample.image for sample in samples]
            for batch in by_shape(samples, images, clean=True, measurements=()):
                ids = [samples[i].id for i in batch.members]
                streams = [Rng(0).at("sift", name) for name in ids]
                out = watched_features(system, batch.images.to(watched.device), streams)
                refuse_non_finite(out, f"features of {watched.graph.describe()},", ids)
                rows |= {place: out[i].cpu() for i, place in enumerate(batch.members)}
        path, seal = watched.path(number), watched.seal(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        seal.write(path, save({"features": torch.stack([rows[i] for i in range(len(samples))])}))
        seal.close()

    return seen
