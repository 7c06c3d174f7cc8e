"""`CalibratorSpec`: what every calibrator says of itself. The module is in ``defend/calibrator.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.estimator import Estimator, Observations
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, PartSpec

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.defend.calibrator import Calibrator


class CalibratorSpec(Estimator):
    """Base of what turns logits into better calibrated logits. A subclass adds ``kind``, `fit`, `calibrate`.

    A calibrator stands behind a classifier, or behind a fusion of several, and is fitted to their logits for
    labelled images that the classifiers were not trained on.
    """

    takes: ClassVar[tuple[Flow, ...]] = (Flow.LOGITS,)
    gives: ClassVar[Flow] = Flow.LOGITS
    fewest: ClassVar[int] = 20
    says: ClassVar[Literal["", "set", "abstains"]] = ""
    """What it says beside the logits, if anything: an output of exported files."""

    def aside(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Hook: return what it says of logits (n, classes): sets (n, classes) or, to abstain, (n,), bool."""
        raise NotImplementedError

    def about(self) -> str:
        """Hook: return what is promised of what it says, in words."""
        return ""

    def misplaced(self, before: Sequence[PartSpec]) -> str:
        """Hook: return what is wrong with the parts between the image and this one; empty: nothing."""
        return ""

    def tensors(self) -> Mapping[str, Tensor]:
        """Return what was fitted, float32.

        Raises:
            ConfigError: nothing was fitted.
            WeightsError: the weights are missing or damaged.
        """
        from clearsight.data.weights import state

        self.ready()
        assert self.weights is not None
        return state(self.weights)

    def calibrate(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Hook: return calibrated logits, (n, classes); differentiable.

        Args:
            logits: (n, classes).
            fitted: what `fit` returned, on the device of the logits.

        Raises:
            ShapeError: it was fitted for another number of classes.
        """
        raise NotImplementedError

    def figures(self, rows: Observations, fitted: Mapping[str, Tensor], rng: Rng) -> dict[str, Any]:
        """Return negative log-likelihood (nats) and ECE before and after, with 95 % intervals."""
        import numpy as np

        from clearsight.data.statistics import bootstrap_mean, paired_bootstrap
        from clearsight.defend.calibration_error import calibration_error

        logits, truths = gathered(rows)
        losses, found = {}, {}
        for name, table in (("before", logits), ("after", self.calibrate(logits, fitted))):
            logs = table.log_softmax(1)
            losses[name] = -logs.gather(1, truths[:, None])[:, 0].numpy()
            sure, guess = logs.exp().max(1)
            value, low, high = calibration_error(sure.numpy(), (guess == truths).numpy())
            nll = bootstrap_mean(losses[name], rng.at(name))
            found[name] = {
                "nll": {"value": float(losses[name].mean()), "low": nll[0], "high": nll[1]},
                "ece": {"value": value, "low": low, "high": high},
            }
        low, high = paired_bootstrap(losses["after"], losses["before"], rng.at("difference"))
        difference = float(np.mean(losses["after"] - losses["before"]))
        return found | {
            "images": len(truths),
            "nll_difference": {"value": difference, "low": low, "high": high},
        }

    def build(self) -> Calibrator:
        """Return the module that runs this spec."""
        from clearsight.defend.calibrator import Calibrator

        return Calibrator(self)


def gathered(rows: Observations) -> tuple[Tensor, Tensor]:
    """Return all logits, float64 (n, classes), and the labels, (n,).

    Raises:
        DataError: a label is none of the classes.
    """
    import torch

    observations = list(rows())
    logits = torch.stack([each.value for each in observations]).double()
    truths = torch.tensor([each.truth for each in observations])
    if not ((truths >= 0) & (truths < logits.shape[1])).all():
        raise DataError(f"a label is none of {logits.shape[1]} classes", where="calibration images")
    return logits, truths
