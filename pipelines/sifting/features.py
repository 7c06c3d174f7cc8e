"""What a classifier's last linear layer is given, image by image: computed in chunks under seals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from clearsight.data.contract.progress import Progress
from clearsight.data.contract.rng import Rng
from clearsight.data.executors.contract import Sent
from clearsight.data.finite import refuse_non_finite
from clearsight.pipelines.evaluation.image_chunks import ImageChunks, compute_missing
from clearsight.pipelines.evaluation.rows import by_shape
from clearsight.pipelines.evaluation.worker import one_thread
from clearsight.pipelines.systems.target import watched_features

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FEATURES = "features"
"""Folder of the files, and name of the entry in each."""


@dataclass(frozen=True, kw_only=True)
class Watched(ImageChunks):
    """Images whose features are wanted, and where they are kept."""

    @property
    def head(self) -> str:
        """Return what the names of the files begin with."""
        return f"{FEATURES}/"


def features_of(watched: Watched, *, workers: int, on_progress: Progress | None) -> NDArray[np.float64]:
    """Return the features of all images, (n, d); chunks that are there and whole are not computed again.

    Raises:
        DataError: an image has changed since it was taken in, or features are not finite.
        AttackError: the classifier has no linear layer.
    """
    compute_missing(start_watching, watched, FEATURES, workers=workers, on_progress=on_progress)
    return torch.cat([each[FEATURES] for each in watched.written()]).to(torch.float64).numpy()


def start_watching(watched: Watched) -> Callable[..., None]:
    """Return a function that computes one chunk on one thread and writes it."""
    system = watched.graph.build().to(watched.device)

    def seen(number: int, sent: Sent | None = None) -> None:
        samples = watched.samples(number, sent)
        rows: dict[int, torch.Tensor] = {}
        with one_thread(), torch.inference_mode():
            images = [sample.image for sample in samples]
            for batch in by_shape(samples, images, clean=True, measurements=()):
                ids = [samples[i].id for i in batch.members]
                streams = [Rng(0).at("sift", name) for name in ids]
                out = watched_features(system, batch.images.to(watched.device), streams)
                refuse_non_finite(out, f"features of {watched.graph.describe()},", ids)
                rows |= {place: out[i].cpu() for i, place in enumerate(batch.members)}
        watched.write(number, {FEATURES: torch.stack([rows[i] for i in range(len(samples))])}, sent)

    return seen
