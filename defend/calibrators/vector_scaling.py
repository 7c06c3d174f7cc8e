"""Vector scaling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.contract.estimator import Observations
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Number
from clearsight.defend.calibrator_base import CalibratorSpec, gathered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class VectorScaling(CalibratorSpec):
    """A factor and an offset for the logit of every class, fitted by penalised likelihood (Guo et al. 2017).

    It can change predictions: a class that is predicted too often is predicted less often.
    """

    kind: Literal["vector_scaling"] = "vector_scaling"
    purpose: ClassVar[str] = "scale and shift the logit of every class"

    each: Annotated[int, Field(ge=1)] = 5
    """Fewest images that every class needs."""
    decay: Annotated[Number, Field(ge=0)] = 1e-3
    """Weight of the penalty beside the log-likelihood: mean squared distance of the factors from their mean,
    and of the offsets from 0, against overfitting (Kull et al. 2019 penalise the matrix and the offsets)."""

    def fit(self, rows: Observations, rng: Rng) -> Mapping[str, Tensor]:
        """Return ``factor`` and ``offset``, (classes,) each; nothing is drawn.

        Raises:
            DataError: a class has fewer than ``each`` images, or the fit does not converge.
        """
        import numpy as np
        import torch
        from scipy.optimize import minimize

        logits, truths = gathered(rows)
        table, n, classes = logits.numpy(), len(truths), logits.shape[1]
        counts = np.bincount(truths.numpy(), minlength=classes)
        if (poor := np.flatnonzero(counts < self.each)).size:
            named = ", ".join(map(str, poor[:10])) + (", ..." if poor.size > 10 else "")
            raise DataError(
                f"{poor.size} of {classes} classes have fewer than {self.each} images ({named})",
                where=self.name,
                hint="give more images, or take temperature, which needs none of every class",
            )
        onehot = np.eye(classes)[truths.numpy()]

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            factor, offset = flat[:classes], flat[classes:]
            scaled = table * factor + offset
            scaled = scaled - scaled.max(1, keepdims=True)
            logs = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
            away = factor - factor.mean()
            value = -(onehot * logs).sum() / n + self.decay * float((away**2).mean() + (offset**2).mean())
            error = (np.exp(logs) - onehot) / n
            pull = 2.0 * self.decay / classes
            return value, np.concatenate([(error * table).sum(0) + pull * away, error.sum(0) + pull * offset])

        start = np.concatenate([np.ones(classes), np.zeros(classes)])
        best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 4000})
        if not best.success or not np.isfinite(best.x).all():
            raise DataError(f"it does not converge: {best.message}", where=self.name, hint="raise 'decay'")
        found = torch.from_numpy(best.x).float()
        return {"factor": found[:classes].clone(), "offset": found[classes:].clone()}

    def calibrate(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return every logit times its factor plus its offset."""
        if logits.shape[1] != len(fitted["factor"]):
            raise ShapeError(
                f"was fitted for {len(fitted['factor'])} classes, got logits of {logits.shape[1]}",
                where=self.name,
                hint="fit it behind this classifier",
            )
        return logits * fitted["factor"] + fitted["offset"]
