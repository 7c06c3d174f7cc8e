"""Temperature scaling."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.estimator import Observations
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Number
from clearsight.defend.calibrator_base import CalibratorSpec, gathered

if TYPE_CHECKING:
    from torch import Tensor

WIDEST = 6.0
"""Bound of the logarithm of the temperature in the search: temperatures from 0.0025 to 400."""


class Temperature(CalibratorSpec):
    """Divides the logits by one number, which minimises the negative log-likelihood (Guo et al. 2017).

    It changes no prediction and no order of an image's classes.
    """

    kind: Literal["temperature"] = "temperature"
    purpose: ClassVar[str] = "divide logits by a fitted temperature"

    value: Annotated[Number, Field(gt=0)] | None = None
    """The temperature, where you know it; else it comes from ``weights``."""

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.value is not None and self.weights is not None:
            raise ValueError("'value' and 'weights' both say the temperature: leave one out")
        return self

    @property
    def told(self) -> bool:
        """Return whether there is a temperature."""
        return self.value is not None or super().told

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the temperature, a scalar."""
        import torch

        return super().tensors() if self.value is None else {"temperature": torch.tensor(self.value)}

    def fit(self, rows: Observations, rng: Rng) -> Mapping[str, Tensor]:
        """Return the temperature; nothing is drawn.

        Raises:
            DataError: no temperature is best: all images are right (the lower the better), or the logits say
                nothing of the classes (the higher the better).
        """
        import torch
        from scipy.optimize import brentq

        logits, truths = gathered(rows)
        # Softmax is the same, at any temperature, if a constant is taken from all logits of an image.
        away = logits - logits.gather(1, truths[:, None])

        def slope(log_temperature: float) -> float:
            """Return the derivative of the loss by 1/T: the expected lead over the true class, averaged."""
            return float(((away * exp(-log_temperature)).softmax(1) * away).sum(1).mean())

        # The loss is convex in 1/T: its slope rises where the temperature falls.
        for end, why, hint in (
            (WIDEST, "the logits say nothing of the classes", "compare the classes of data and classifier"),
            (-WIDEST, "the classifier is right about all", "give more images, or harder ones"),
        ):
            if slope(end) * end >= 0.0:
                raise DataError(
                    f"no temperature is best for these {len(truths)} images: {why}",
                    where=self.name,
                    hint=hint,
                )
        best = brentq(slope, -WIDEST, WIDEST, xtol=1e-12)
        return {"temperature": torch.tensor(exp(best), dtype=torch.float32)}

    def calibrate(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return the logits divided by the temperature."""
        return logits / fitted["temperature"]
