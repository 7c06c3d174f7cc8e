"""A threshold of confidence below which a classifier abstains, so that its answers are rarely wrong."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.estimator import Observations
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Number
from clearsight.defend.calibrator_base import CalibratorSpec, gathered
from clearsight.defend.uncertainty.sureness import SURER, Score

if TYPE_CHECKING:
    from torch import Tensor

SHARES = 10
"""Thresholds that are tried: each keeps a tenth of the answers more."""
LEAST = -3.4e38
"""Threshold with which every answer is given, a finite float32."""


class Abstention(CalibratorSpec):
    """The least sureness at which no more than a share of ``risk`` of the answers is wrong.

    Selection with guaranteed risk (Geifman & El-Yaniv 2017), the thresholds fixed beforehand (Angelopoulos
    et al. 2021, "Learn then Test"): those that keep 10, 20, ... 100 % of the answers are judged by an exact
    upper bound of the error of what they keep (Clopper & Pearson 1934), ``delta`` is divided among them, and
    the one that keeps most is taken. With a probability of ``1 - delta`` over the images of the fit the error
    of the answers that are given is ``risk`` at most, for images like those of the fit; after a corruption or
    an attack nothing is promised. The logits go through unchanged.
    """

    kind: Literal["abstention"] = "abstention"
    purpose: ClassVar[str] = "abstains where an answer is too unsure; bounds the error of the others"
    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"score", "risk", "delta"})
    says: ClassVar[Literal["", "set", "abstains"]] = "abstains"

    score: Score = "confidence"
    """What sureness is: the largest probability, entropy, free energy or lead of the largest logit."""
    risk: Annotated[Number, Field(gt=0, lt=1)] = 0.2
    """Largest error of the answers that are given."""
    delta: Annotated[Number, Field(gt=0, lt=1)] = 0.05
    """Probability, over the images of the fit, that the error is larger all the same."""

    def sureness(self, logits: Tensor) -> Tensor:
        """Return how sure each answer is (n,), more for surer ones, of logits (n, classes)."""
        from clearsight.defend.uncertainty import sureness

        value: Tensor = getattr(sureness, self.score)(logits)
        return SURER[self.score] * value

    def aside(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return whether each answer is less sure than the threshold, bool (n,)."""
        return self.sureness(logits) < fitted["threshold"]

    def about(self) -> str:
        """Return what is promised."""
        return (
            f"with {100 * (1 - self.delta):.4g} % confidence {100 * self.risk:.4g} % at most of the answers"
            f" that are given are wrong, of images like those of the fit; sureness is {self.score}"
        )

    def calibrate(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return the logits as they are."""
        return 1.0 * logits

    def fit(self, rows: Observations, rng: Rng) -> Mapping[str, Tensor]:
        """Return ``threshold``, a float32 scalar: answers that are at least as sure are given.

        Raises:
            DataError: no threshold is proved to keep the error that low.
        """
        import torch

        from clearsight.defend.bounds.confidence import upper_bound

        logits, truths = gathered(rows)
        # In the precision of the system, whose sureness is compared with the threshold.
        sure = self.sureness(logits.float())
        order = sure.argsort(descending=True, stable=True)
        wrong = (logits.argmax(1) != truths)[order].cumsum(0).tolist()
        ordered, n = sure[order], len(order)
        for share in range(SHARES, 0, -1):
            kept = n * share // SHARES
            # Equally sure answers are given or withheld together.
            while 0 < kept < n and ordered[kept] == ordered[kept - 1]:
                kept -= 1
            if kept and upper_bound(wrong[kept - 1], kept, self.delta / SHARES) <= self.risk:
                # Given the next less sure answer, those above it are independent draws.
                least = ordered[kept].nextafter(torch.tensor(inf)) if kept < n else torch.tensor(LEAST)
                return {"threshold": least}
        raise DataError(
            f"no threshold is proved to keep the error at {100 * self.risk:.4g} % or less:"
            f" {wrong[-1]} of {n} answers are wrong",
            where=self.name,
            hint="give more images, or a larger risk",
        )

    def figures(self, rows: Observations, fitted: Mapping[str, Tensor], rng: Rng) -> dict[str, Any]:
        """Return how many answers are given and how many of them are right, with 95 % intervals."""
        from clearsight.data.statistics import wilson

        logits, truths = gathered(rows)
        given = ~self.aside(logits.float(), fitted)
        count, right = int(given.sum()), int((logits.argmax(1) == truths)[given].sum())
        answered = wilson(count, len(truths))
        found: dict[str, Any] = {
            "images": len(truths),
            "answered": {"value": count / len(truths), "low": answered[0], "high": answered[1]},
        }
        if count:
            ends = wilson(right, count)
            found["selective_accuracy"] = {"value": right / count, "low": ends[0], "high": ends[1]}
        return found
