"""Randomised smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from clearsight.defend.certify.smoothing import Bounded, Smoothing


class RandomizedSmoothing(Smoothing):
    """The L2 ball in which most noisy versions of an image keep getting its class (Cohen et al. 2019).

    ``n0`` versions choose the class, ``n`` others bound its probability p from below (Clopper-Pearson), and
    sigma times the normal quantile of p is the radius. Where p may be one half or less it abstains. With
    restorers in front of the classifier this is denoised smoothing (Salman et al. 2020).
    """

    kind: Literal["randomized_smoothing"] = "randomized_smoothing"
    purpose: ClassVar[str] = "L2 radius by votes under Gaussian noise, for the whole system"

    def bounded(self, votes: Sequence[int], look: int) -> Bounded:
        """Return what the votes for one class certify."""
        from clearsight.defend.bounds.confidence import lower_bound, quantile, upper_bound

        low, high = (bound(votes[0], look, self.each_alpha) for bound in (lower_bound, upper_bound))
        return Bounded(self.sigma * quantile(low), self.sigma * quantile(high), (low,))
