"""Adaptive smoothing: what a vote proves of a mixture with any other classifier."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.certify.smoothing import Smoothing


class AdaptiveSmoothing(Smoothing):
    """The L2 ball in which a mixture keeps its class, whatever the other classifier says (Bai et al. 2023).

    The mixture adds ``weight`` times the share of the votes for a class under noise and the rest times the
    probability that some other, unsmoothed classifier gives it. The other one moves the lead of a class by no
    more than ``1 - weight``, so that the class of the vote stays as long as its share is above
    ``1 / (2 weight)``. The share has a normal quantile that changes by no more than the distance over sigma
    (Cohen et al. 2019): the radius is sigma times what the quantile is above that of ``1 / (2 weight)``. The
    system that is certified is the one that votes; the other one need not be known.
    """

    kind: Literal["adaptive_smoothing"] = "adaptive_smoothing"
    purpose: ClassVar[str] = "L2 radius of a mixture of the smoothed system and any other classifier"

    weight: Annotated[Number, Field(gt=0.5, le=1)] = 0.9
    """Weight of the vote; 1 is `randomized_smoothing`, one half or less proves nothing."""

    @property
    def least_quantile(self) -> float:
        """Return the normal quantile of ``1 / (2 weight)``."""
        from clearsight.defend.bounds.confidence import quantile

        return quantile(0.5 / self.weight)
