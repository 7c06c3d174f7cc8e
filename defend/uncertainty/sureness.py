"""How sure a classifier is of its prediction: four scores of its logits, and which direction is surer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Score = Literal["confidence", "entropy", "energy", "logit_margin"]
SURER: Mapping[str, float] = {"confidence": 1.0, "entropy": -1.0, "energy": -1.0, "logit_margin": 1.0}
"""Score -> the sign that makes the larger value the surer one."""


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy (n,) of the probabilities in nats, 0 to log(classes), of logits (n, classes)."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def energy(logits: Tensor) -> Tensor:
    """Return the free energy (n,), -log(sum(exp(logits))) (Liu et al. 2020): low where it is at home."""
    return -logits.logsumexp(1)


def logit_margin(logits: Tensor) -> Tensor:
    """Return the lead (n,) of the largest logit over the second, 0 or more."""
    best = logits.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def confidence(logits: Tensor) -> Tensor:
    """Return the largest probability (n,) (Hendrycks & Gimpel 2017)."""
    return logits.softmax(1).amax(1)
