"""Adaptive conformal sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.conformal_base import ConformalSpec

if TYPE_CHECKING:
    from torch import Tensor


class ConformalAPS(ConformalSpec):
    """The likeliest classes, as many as add up to enough probability (APS, Romano et al. 2020).

    Sets are larger than those of ``conformal_thr`` on average, and more alike in coverage over easy and hard
    images.
    """

    kind: Literal["conformal_aps"] = "conformal_aps"
    purpose: ClassVar[str] = "sets that grow where the classifier is less sure"
    fixed_by_weights: ClassVar[frozenset[str]] = ConformalSpec.fixed_by_weights | {"randomised"}

    randomised: bool = False
    """Draw for every image how much of a class's own probability counts: coverage is then no higher than
    promised, and sets are smaller, but two calls differ unless they have one seed."""

    def drawn(self) -> bool:
        """Return whether sets are randomised."""
        return self.randomised

    def scores(self, probabilities: Tensor, draws: Tensor | None) -> Tensor:
        """Return the probability of all likelier classes, and of the class itself or a part of it."""
        from clearsight.defend.uncertainty.conformal import aps

        return aps(probabilities, draws)
