"""`ClassifierMethod` and `BallMethod`: what the ways of training a classifier share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.spec import Number, kind_of
from clearsight.defend.training.weight_perturbation import WeightPerturbation

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.search.training_attack import TrainingAttack

Norm = Literal["linf", "l2"]

LARGEST = {"linf": 1.0, "l2": 10.0}
"""Greatest eps that is taken: linf 1 reaches every image; l2 distances grow with the number of pixels."""
START = 0.001
"""Standard deviation of the normal start of TRADES and its kin."""


@dataclass(frozen=True)
class Prepared:
    """What a step learns from.

    Attributes:
        images: float32 (m, c, h, w): the batch, attacked or otherwise changed.
        labels: int64 (n,), the classes that are taught.
        kappa: int64 (n,), steps of the attack at which an image was still classified correctly, or None.
    """

    images: Tensor
    labels: Tensor
    kappa: Tensor | None = None


class ClassifierMethod(Method):
    """Base of methods for classifiers: images are prepared, then a loss is minimised, in one place.

    A subclass adds ``kind``, overrides `prepared` where it changes the images, and gives `loss`.
    """

    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the label's probability that is spread evenly over all classes (Szegedy et al. 2016); an
    attack ignores it."""
    awp: WeightPerturbation | None = None
    """Adversarial weight perturbation (Wu et al. 2020), against robust overfitting; null: none."""

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Prepared:
        """Return what the step learns from; the model stays as it is, in train mode."""
        return Prepared(batch.images, labels)

    def loss(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the loss of a model in train mode."""
        raise NotImplementedError

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of the prepared images, at perturbed weights where ``awp`` asks for it."""
        if batch.labels is None:
            raise DataError("needs labels", where=kind_of(self))
        model = networks[MODEL]
        made = self.prepared(model, batch, batch.labels, rng)
        if self.awp is None or batch.share < self.awp.after:
            yield MODEL, self.loss(model, batch, made)
            return
        back = self.awp.perturb(model, lambda: self.loss(model, batch, made))
        yield MODEL, self.loss(model, batch, made)
        # The optimiser has moved the perturbed weights: what was added is taken off again.
        back()

    def cross_entropy(self, logits: Tensor, labels: Tensor, *, mean: bool = True) -> Tensor:
        """Return the cross-entropy with smoothed labels: its mean, or one value an image (n,)."""
        from torch.nn.functional import cross_entropy

        how = "mean" if mean else "none"
        return cross_entropy(logits, labels, label_smoothing=self.label_smoothing, reduction=how)


class BallMethod(ClassifierMethod):
    """Base of methods that attack each image within a ball of radius eps and learn from what comes out.

    The attack sees the network in eval mode, the training step in train mode, so that batch normalisation
    keeps the statistics of the images that are learned from. A subclass gives `objective`.
    """

    old_names: ClassVar[dict[str, str]] = {"examined_steps": "validation_steps"}

    norm: Norm = "linf"
    """What eps bounds: the largest change of a value (linf), or the Euclidean length of the change (l2)."""
    eps: Annotated[Number, Field(gt=0)] = 8 / 255
    """Radius of the ball around each image, for values in [0, 1]: write 8/255, not 8."""
    steps: Annotated[int, Field(ge=1, le=200)] = 10
    """Gradient steps of the attack; each costs one more forward and backward pass."""
    step_size: Annotated[Number, Field(gt=0)] | None = None
    """Length of one step. Left out: 2.5 eps / steps, which is 2/255 for the defaults; of a single step
    1.25 eps."""
    validation_steps: Annotated[int, Field(ge=1, le=200)] = 5
    """Steps of the attack under which the validation part is measured, which chooses the checkpoint."""
    local_linearity: Annotated[Number, Field(ge=0)] = 0.0
    """Weight of a penalty on how far the loss is from linear between an image and its attacked form (after
    Qin et al. 2019, who search the point where it is least linear); costs a backward pass of second order."""

    divergence: ClassVar[bool] = False
    """True where the attack raises the divergence from the natural prediction, not the cross-entropy."""

    @model_validator(mode="after")
    def _eps_fits(self) -> Self:
        if self.eps > (largest := LARGEST[self.norm]):
            raise ValueError(
                f"eps is for pixels in [0, 1]: {self.eps:g} is above {largest:g}; write 8/255 for 8 levels"
            )
        return self

    @property
    def robust_validation(self) -> str:
        """Return the attack under which validation and test are measured."""
        radius = f"{self.eps * 255:.4g}/255" if self.norm == "linf" else f"{self.eps:.4g}"
        return f"PGD-{self.validation_steps}, {self.norm}, eps {radius}, one random start"

    @property
    def size(self) -> float:
        """Return the length of one step of the attack."""
        return self.step_size or (1.25 if self.steps == 1 else 2.5 / self.steps) * self.eps

    def training_attack(self, share: float = 1.0) -> TrainingAttack:
        """Return the attack of a training step at this share (0 to 1) of the budget."""
        from clearsight.defend.search.training_attack import TrainingAttack

        return TrainingAttack(
            self.norm, self.eps, self.steps, self.size, self.eps, divergence=self.divergence
        )

    def validation_attack(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """Return the images after the attack that `robust_validation` names."""
        from clearsight.defend.search.balls import usual_step
        from clearsight.defend.search.training_attack import TrainingAttack

        size = usual_step(self.eps, self.validation_steps)
        return TrainingAttack(self.norm, self.eps, self.validation_steps, size, self.eps).applied(
            model, images, labels, rng
        )

    def prepared(self, model: nn.Module, batch: TrainBatch, labels: Tensor, rng: Rng) -> Prepared:
        """Return the attacked images."""
        found = self.training_attack(batch.share).search(model, batch.images, labels, rng, batch.tally)
        return Prepared(found.images, labels, found.kappa)

    def objective(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the loss of the attacked images: their mean cross-entropy."""
        return self.cross_entropy(model(made.images), made.labels)

    def loss(self, model: nn.Module, batch: TrainBatch, made: Prepared) -> Tensor:
        """Return the objective, and the penalty on curvature where it has a weight."""
        loss = self.objective(model, batch, made)
        if self.local_linearity:
            from clearsight.defend.search.linearity import linearity_gap
            from clearsight.defend.search.modes import unrecorded

            with unrecorded(model):
                gap = linearity_gap(model, batch.images, made.images, made.labels)
            loss = loss + self.local_linearity * gap.mean()
        return loss


def stage(values: tuple[int, ...], ends: tuple[float, ...], share: float) -> int:
    """Return the value of a schedule: ``values[i]`` from ``ends[i - 1]`` up to ``ends[i]``."""
    return values[sum(share >= end for end in ends)]
