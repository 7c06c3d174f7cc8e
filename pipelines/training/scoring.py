"""Measure a classifier on decoded images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import Method
from clearsight.data.contract.rng import Rng
from clearsight.data.finite import refuse_non_finite
from clearsight.data.statistics import wilson
from clearsight.pipelines.training.augment import as_floats
from clearsight.pipelines.training.image_set import ImageSet

DIVERGED = "lower optimiser.rate; or look for a division by zero in the network"
"""What to do where a model in training gives values that are not finite."""
SEED = 20_000
"""Seed of what validation draws (degradations, attacks): the same in every run, so that figures compare."""


@dataclass(frozen=True)
class Score:
    """Right predictions out of n, and the mean cross-entropy in nats.

    Attributes:
        right: right predictions.
        n: number of images.
        loss: mean cross-entropy.
        robust: score on the same images under `Method.validation_attack`; None where the method has none.
        robust_validation: that attack in words.
    """

    right: int
    n: int
    loss: float
    robust: Score | None = None
    robust_validation: str = ""

    @property
    def accuracy(self) -> float:
        """Return the share of right predictions."""
        return self.right / self.n

    @property
    def rank(self) -> tuple[float, float]:
        """Return what chooses the checkpoint: robust accuracy, else accuracy; then the lower loss."""
        return self.robust.rank if self.robust else (self.accuracy, -self.loss)

    def text(self) -> str:
        """Return one line."""
        low, high = wilson(self.right, self.n)
        told = f"{self.accuracy:.4f} [{low:.4f}, {high:.4f}] of {self.n}"
        return f"{told}; {self.robust_validation}: {self.robust.text()}" if self.robust else told

    def figure(self) -> dict[str, Any]:
        """Return the accuracy with its 95 % Wilson interval and the loss, for the card."""
        low, high = wilson(self.right, self.n)
        told: dict[str, Any] = {
            "accuracy": round(self.accuracy, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "interval": "Wilson 95 %",
            "n": self.n,
            "cross_entropy": round(self.loss, 4),
        }
        if self.robust:
            told["robust"] = {"how": self.robust_validation} | self.robust.figure()
        return told


@torch.no_grad()
def score(
    model: nn.Module,
    part: ImageSet,
    device: str,
    *,
    state: dict[str, Tensor] | None = None,
    batch: int = 256,
    method: Method | None = None,
) -> Score:
    """Measure a model in eval mode; its weights and mode are restored afterwards.

    Args:
        model: images in [0, 1] to logits.
        part: labelled images.
        device: where the model is.
        state: weights to measure in place of the model's own.
        batch: images at a time.
        method: its validation attack is measured too; None: only the images as given.

    Raises:
        DataError: the images have no labels, or one of them gets logits that are not finite.
    """
    if part.labels is None:
        raise DataError("a classifier is measured on labelled images", where="training")
    how = method.robust_validation if method else ""
    right, loss, held, hard = 0, 0.0, 0, 0.0
    with evaluated(model, state):
        for start in range(0, len(part), batch):
            labels = part.labels[start : start + batch].to(device)
            images = as_floats(part.images[start : start + batch].to(device))
            ids = part.ids[start : start + batch]
            found = _judged(model, images, labels, ids)
            right, loss = right + found[0], loss + found[1]
            if method and how:
                rng = Rng(SEED).at("examined", part.ids[start])
                moved = method.validation_attack(model, images, labels, rng)
                found = _judged(model, moved, labels, ids)
                held, hard = held + found[0], hard + found[1]
    n = len(part)
    return Score(right, n, loss / n, Score(held, n, hard / n) if how else None, how)


def _judged(model: nn.Module, images: Tensor, labels: Tensor, ids: Sequence[str]) -> tuple[int, float]:
    """Return the number of right predictions and the summed cross-entropy."""
    logits = model(images)
    refuse_non_finite(logits, "the model's logits are", ids, where="validation", hint=DIVERGED)
    loss = cross_entropy(logits.float(), labels, reduction="sum")
    return int((logits.argmax(1) == labels).sum()), float(loss)


@contextmanager
def evaluated(model: nn.Module, state: dict[str, Tensor] | None) -> Iterator[None]:
    """Hold a model in eval mode, with other weights where given; both are restored afterwards."""
    training, own = model.training, None
    if state is not None:
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(state)
    model.eval()
    try:
        yield
    finally:
        if own is not None:
            model.load_state_dict(own)
        model.train(training)
