"""`ConformalSpec`: a part behind a classifier that says which classes an image may have, with a promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.contract.estimator import Observations
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Number
from clearsight.defend.calibrator_base import CalibratorSpec, gathered

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 10
"""Classes that a message names."""


class ConformalSpec(CalibratorSpec):
    """Base of split conformal sets: logits go through unchanged, and a set of classes stands beside them.

    The set of an image holds its true class with a probability of ``1 - alpha`` at least if the image is
    exchangeable with those of the fit: of the same source, under the same conditions, through the same
    system. Under another corruption or an attack nothing is promised.

    A subclass adds ``kind``, fields of its score and `scores`.
    """

    fixed_by_weights: ClassVar[frozenset[str]] = frozenset({"alpha", "by_class"})
    says: ClassVar[Literal["", "set", "abstains"]] = "set"

    alpha: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Share of images whose set may miss the true class."""
    by_class: bool = False
    """Keep the promise within every class (a threshold each) and not only on average over all images."""
    each: Annotated[int, Field(ge=0)] = 1
    """Fewest images of the fit that every class must have; 0: classes without images are allowed, and what is
    promised on average says nothing of them."""

    @property
    def kept(self) -> float:
        """Hook: return the alpha of the threshold, where a part of ``alpha`` is spent on something else."""
        return self.alpha

    def drawn(self) -> bool:
        """Hook: return whether sets need a random number for each image."""
        return False

    def scores(self, probabilities: Tensor, draws: Tensor | None) -> Tensor:
        """Hook: return a score (n, classes) of every class, higher for classes that fit less.

        Args:
            probabilities: float64 (n, classes).
            draws: (n,) uniform in [0, 1) where `drawn`, else None.
        """
        raise NotImplementedError

    def sets(self, logits: Tensor, fitted: Mapping[str, Tensor], draws: Tensor | None) -> Tensor:
        """Return the set of every image, bool (n, classes); a set may be empty.

        Args:
            logits: (n, classes).
            fitted: what `fit` returned.
            draws: (n,) uniform in [0, 1) where `drawn`, else None.

        Raises:
            ShapeError: it was fitted for another number of classes.
        """
        self.check_classes(logits, fitted)
        return self.scores(logits.double().softmax(1), draws) <= fitted["threshold"]

    def check_classes(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> None:
        """Raise `ShapeError` where it was fitted for another number of classes."""
        limit = fitted["threshold"]
        if limit.ndim and limit.shape[0] != logits.shape[1]:
            raise ShapeError(
                f"was fitted for {limit.shape[0]} classes, got logits of {logits.shape[1]}",
                where=self.name,
                hint="fit it behind this classifier",
            )

    def aside(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return the sets, bool (n, classes); of kinds that draw nothing."""
        return self.sets(logits, fitted, None)

    def about(self) -> str:
        """Return what is promised."""
        of = "in every class" if self.by_class else "on average"
        share = f"{100 * (1 - self.alpha):.4g} %"
        return f"holds the true class of {share} of images like those of the fit, {of}"

    def calibrate(self, logits: Tensor, fitted: Mapping[str, Tensor]) -> Tensor:
        """Return the logits as they are: predictions and probabilities stay."""
        return 1.0 * logits

    def fit(self, rows: Observations, rng: Rng) -> Mapping[str, Tensor]:
        """Return ``threshold``: a scalar, or one for each class (classes,).

        Raises:
            DataError: too few images for ``alpha``, in all or (``by_class``) of a class, or a class without.
        """
        import torch

        from clearsight.defend.uncertainty.conformal import fewest, threshold

        logits, truths = gathered(rows)
        classes = logits.shape[1]
        counts = truths.bincount(minlength=classes)
        needed = max(self.each, fewest(self.kept) if self.by_class else 0)
        if (poor := (counts < needed).nonzero()[:, 0].tolist()) != []:
            named = ", ".join(map(str, poor[:SHOWN])) + (", ..." if len(poor) > SHOWN else "")
            least = f"fewer than {needed} calibration images" if needed > 1 else "no calibration image"
            instead = (
                "leave 'by_class' out" if self.by_class else "'each: 0': nothing is promised of them then"
            )
            raise DataError(
                f"{len(poor)} of {classes} classes have {least} ({named})",
                where=self.name,
                hint=f"give more images, or {instead}",
            )
        table = self.scores(logits.softmax(1), self.draws(len(truths), rng))
        own = table.gather(1, truths[:, None])[:, 0]
        if not self.by_class:
            return {"threshold": threshold(own, self.kept)}
        limits = [threshold(own[truths == label], self.kept) for label in range(classes)]
        return {"threshold": torch.stack(limits)}

    def draws(self, count: int, rng: Rng) -> Tensor | None:
        """Return uniform numbers in [0, 1), float64 (count,), where sets need them."""
        import torch

        return torch.from_numpy(rng.numpy().random(count)) if self.drawn() else None

    def figures(self, rows: Observations, fitted: Mapping[str, Tensor], rng: Rng) -> dict[str, Any]:
        """Return coverage and mean size of the sets with 95 % intervals, and what was promised."""
        from clearsight.data.statistics import bootstrap_mean, wilson

        logits, truths = gathered(rows)
        sets = self.sets(logits, fitted, self.draws(len(truths), rng.at("draws")))
        held = int(sets.gather(1, truths[:, None]).sum())
        sizes = sets.sum(1).double().numpy()
        covered, mean = wilson(held, len(truths)), bootstrap_mean(sizes, rng.at("size"))
        return {
            "images": len(truths),
            "promised": 1.0 - self.alpha,
            "coverage": {"value": held / len(truths), "low": covered[0], "high": covered[1]},
            "set_size": {"value": float(sizes.mean()), "low": mean[0], "high": mean[1]},
        }
