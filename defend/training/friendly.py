"""The early stop that friendly adversarial training (Zhang et al. 2020) adds to other methods."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from clearsight.data.contract.spec import Number, Spec
from clearsight.defend.training.base import stage

Steps = Annotated[int, Field(ge=0, le=200)]
Share = Annotated[Number, Field(ge=0, le=1)]


class Friendly(Spec):
    """Schedule of tau, the steps that an image makes after it is first misclassified."""

    tau: Annotated[tuple[Steps, ...], Field(min_length=1)] = (0, 1, 2)
    """Steps after the first misclassification, one value a stretch of the budget."""
    tau_until: tuple[Share, ...] = (50 / 120, 90 / 120)
    """Shares of the budget at which the stretches end, rising; one fewer than ``tau``. The authors' epochs
    are 50 and 90 of 120."""

    @model_validator(mode="after")
    def _stretches_fit(self) -> Self:
        if len(self.tau_until) != len(self.tau) - 1 or list(self.tau_until) != sorted(self.tau_until):
            raise ValueError(
                f"'tau_until' needs {len(self.tau) - 1} rising shares, one fewer than 'tau' has values"
            )
        return self

    def tau_at(self, share: float) -> int:
        """Return tau at this share of the budget."""
        return stage(self.tau, self.tau_until, share)
