"""Measure a classifier on decoded pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from data.contract.errors import DataError
from data.statistics import wilson
from pipelines.training.augment import as_floats
from pipelines.training.pictures import Pictures


@dataclass(frozen=True)
class Score:
    """Right predictions, their number, and the mean cross-entropy in nats."""

    right: int
    n: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Return the share of right predictions."""
        return self.right / self.n

    @property
    def rank(self) -> tuple[float, float]:
        """Return what the best checkpoint has the greatest of: accuracy, then a low loss."""
        return self.accuracy, -self.loss

    def text(self) -> str:
        """Return one line."""
        low, high = wilson(self.right, self.n)
        return f"{self.accuracy:.4f} [{low:.4f}, {high:.4f}] of {self.n}"

    def figure(self) -> dict[str, Any]:
        """Return the accuracy with its 95 % Wilson interval and the loss, for the card."""
        low, high = wilson(self.right, self.n)
        return {
            "accuracy": round(self.accuracy, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "interval": "Wilson 95 %",
            "n": self.n,
            "cross_entropy": round(self.loss, 4),
        }


@torch.no_grad()
def score(
    model: nn.Module,
    pictures: Pictures,
    device: str,
    *,
    state: dict[str, Tensor] | None = None,
    batch: int = 256,
) -> Score:
    """Measure a model in eval mode; its weights and its mode are afterwards as before.

    Args:
        model: images in [0, 1] to logits.
        pictures: labelled ones.
        device: where the model is.
        state: weights to measure in place of the model's own.
        batch: pictures at a time.

    Raises:
        DataError: the pictures have no labels.
    """
    if pictures.labels is None:
        raise DataError("a classifier is measured on labelled pictures", where="training")
    right, loss = 0, 0.0
    with evaluated(model, state):
        for start in range(0, len(pictures), batch):
            labels = pictures.labels[start : start + batch].to(device)
            logits = model(as_floats(pictures.images[start : start + batch].to(device)))
            right += int((logits.argmax(1) == labels).sum())
            loss += float(cross_entropy(logits.float(), labels, reduction="sum"))
    return Score(right, len(pictures), loss / len(pictures))


@contextmanager
def evaluated(model: nn.Module, state: dict[str, Tensor] | None) -> Iterator[None]:
    """Hold a model in eval mode, with other weights where given; afterwards both are as before."""
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
