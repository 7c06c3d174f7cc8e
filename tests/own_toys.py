"""A corruption and an attack as users write them, for the contract tests of kind ``python``."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional


def speckles(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Set a share of the pixels to white."""
    image[rng.random(image.shape[:2]) < 0.04 * severity] = 255
    return image


def one_step(target: Any, batch: Any, eps: float, norm: str) -> Tensor:
    """One step of the gradient of the cross-entropy, of length eps in its norm."""

    def loss(logits: Tensor) -> Tensor:
        return functional.cross_entropy(logits, batch.labels, reduction="none")

    slope = target.gradient(batch.images, batch.rows, loss).gradient
    flat = slope.flatten(1)
    if norm == "linf":
        step = flat.sign()
    elif norm == "l2":
        step = flat / flat.norm(dim=1, keepdim=True)
    else:
        step = flat / flat.abs().sum(1, keepdim=True)
    return (batch.images + 0.999 * eps * step.reshape(slope.shape)).clamp(0, 1)


def half_step(target: Any, batch: Any, eps: float, norm: str) -> Tensor:
    """As `one_step`, half as long."""
    return one_step(target, batch, eps / 2, norm)
