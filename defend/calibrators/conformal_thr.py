"""Conformal sets of all classes that are likely enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.defend.conformal_base import ConformalSpec

if TYPE_CHECKING:
    from torch import Tensor


class ConformalTHR(ConformalSpec):
    """The classes whose probability is high enough (Sadinle et al. 2019).

    These sets are the smallest on average that keep the promise, and may be empty: the classifier is then
    less sure than on nearly all images of the fit.
    """

    kind: Literal["conformal_thr"] = "conformal_thr"
    purpose: ClassVar[str] = "sets of the likely classes, the smallest on average"

    def scores(self, probabilities: Tensor, draws: Tensor | None) -> Tensor:
        """Return 1 - p."""
        from clearsight.defend.uncertainty.conformal import thr

        return thr(probabilities)
