"""Adaptive conformal sets with a penalty for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.conformal_base import ConformalSpec

if TYPE_CHECKING:
    from torch import Tensor


class ConformalRAPS(ConformalSpec):
    """APS with a penalty for unlikely places, against very large sets (RAPS, Angelopoulos et al. 2021)."""

    kind: Literal["conformal_raps"] = "conformal_raps"
    purpose: ClassVar[str] = "adaptive sets that are penalised for many classes"
    fixed_by_weights: ClassVar[frozenset[str]] = ConformalSpec.fixed_by_weights | {
        "randomised",
        "penalty",
        "unpenalised",
    }

    randomised: bool = False
    """As for ``conformal_aps``."""
    penalty: Annotated[Number, Field(ge=0)] = 0.01
    """Added to the score for every place beyond ``unpenalised`` (lambda; the paper's value for ImageNet)."""
    unpenalised: Annotated[int, Field(ge=0)] = 5
    """Places without a penalty (k_reg; the paper's value for ImageNet)."""

    def drawn(self) -> bool:
        """Return whether sets are randomised."""
        return self.randomised

    def scores(self, probabilities: Tensor, draws: Tensor | None) -> Tensor:
        """Return the score of adaptive sets, and the penalty for the place of each class."""
        from clearsight.defend.uncertainty.conformal import aps, ranks

        beyond = (ranks(probabilities) - self.unpenalised).clamp(min=0)
        return aps(probabilities, draws) + self.penalty * beyond
