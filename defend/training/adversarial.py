"""Adversarial training (Madry et al. 2018); with one step its fast forms (Wong et al., de Jorge et al.)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from data.contract.errors import DataError
from data.contract.method import MODEL, Method, TrainBatch
from data.contract.spec import Number

if TYPE_CHECKING:
    from torch import Tensor, nn

    from data.contract.rng import Rng

Norm = Literal["linf", "l2"]

LARGEST = {"linf": 1.0, "l2": 10.0}
"""Greatest eps that is taken: linf 1 reaches every picture; l2 distances grow with the number of pixels."""


class Adversarial(Method):
    """Minimise the cross-entropy of pictures that projected gradient ascent has made hard.

    The attack sees the network in eval mode, the training step in train mode, so that batch normalisation
    keeps the statistics of the adversarial pictures alone.
    """

    kind: Literal["adversarial"] = "adversarial"
    purpose: ClassVar[str] = "adversarial training with PGD; with steps: 1 its fast form"

    norm: Norm = "linf"
    """What eps bounds: the largest change of a value (linf), or the Euclidean length of the change (l2)."""
    eps: Annotated[Number, Field(gt=0)] = 8 / 255
    """Radius of the ball around each picture, for values in [0, 1]: write 8/255, not 8."""
    steps: Annotated[int, Field(ge=1, le=200)] = 10
    """Gradient steps of the attack; each costs one more forward and backward pass."""
    step_size: Annotated[Number, Field(gt=0)] | None = None
    """Length of one step. Left out: 2.5 eps / steps, which is 2/255 for the defaults; of a single step
    1.25 eps, or eps with guard: noise."""
    guard: Literal["none", "ramp", "noise"] | None = None
    """Against catastrophic overfitting, the collapse of one-step training. ramp: eps grows from 0. noise:
    start within 2 eps and do not project back (N-FGSM). Left out: noise for one step, none for more."""
    ramp: Annotated[Number, Field(gt=0, le=1)] = 0.3
    """Share of the budget after which guard: ramp has reached eps."""
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the label's probability that is spread evenly over all classes; the attack ignores it."""
    natural: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Weight of the loss of the unchanged pictures; the paper has 0, adversarial pictures alone."""
    examined_steps: Annotated[int, Field(ge=1, le=200)] = 5
    """Steps of the attack under which the validation part is measured, which chooses the checkpoint."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.eps > (largest := LARGEST[self.norm]):
            raise ValueError(
                f"eps is for pixels in [0, 1]: {self.eps:g} is above {largest:g}; write 8/255 for 8 levels"
            )
        if self.guard == "noise" and self.steps > 1:
            raise ValueError("guard: noise is for steps: 1; leave 'guard' out")
        return self

    @property
    def examination(self) -> str:
        """Return the attack under which validation and test are measured."""
        radius = f"{self.eps * 255:.4g}/255" if self.norm == "linf" else f"{self.eps:.4g}"
        return f"PGD-{self.examined_steps}, {self.norm}, eps {radius}, one random start"

    def ascent(self, share: float = 1.0) -> Ascent:
        """Return the attack of a training step at this share (0 to 1) of the budget."""
        guard = self.guard or ("noise" if self.steps == 1 else "none")
        if guard == "noise":
            # The default for one step: it costs nothing, needs no schedule, and its authors (de Jorge et al.
            # 2022) see no collapse up to eps 16/255, where the projected step of Wong et al. (2020) does
            # collapse. A ramp trains against weaker attacks meanwhile.
            size = self.step_size or self.eps
            return Ascent(self.norm, self.eps, 1, size, start=2 * self.eps, bounded=False)
        grown = min(1.0, share / self.ramp) if guard == "ramp" else 1.0
        size = self.step_size or (1.25 if self.steps == 1 else 2.5 / self.steps) * self.eps
        return Ascent(self.norm, grown * self.eps, self.steps, grown * size, start=grown * self.eps)

    def examined(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """Return the pictures after the attack that `examination` names."""
        size = 2.5 * self.eps / self.examined_steps
        attack = Ascent(self.norm, self.eps, self.examined_steps, size, start=self.eps)
        return attack.applied(model, images, labels, rng)

    def step(
        self, players: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the mean cross-entropy of the attacked batch, with that of the clean one where asked."""
        from torch.nn.functional import cross_entropy

        model, labels = players[MODEL], batch.labels
        if labels is None:
            raise DataError("needs labels", where=self.kind)
        hard = self.ascent(batch.share).applied(model, batch.images, labels, rng)
        loss = cross_entropy(model(hard), labels, label_smoothing=self.label_smoothing)
        if self.natural:
            with _unrecorded(model):
                logits = model(batch.images)
            clean = cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            loss = (1.0 - self.natural) * loss + self.natural * clean
        yield MODEL, loss


@dataclass(frozen=True)
class Ascent:
    """Projected gradient ascent on the cross-entropy, from a random point near each picture.

    Attributes:
        norm: of the ball and of the steps: ``linf`` follows the sign of the gradient, ``l2`` its direction.
        eps: radius of the ball.
        steps: how many.
        size: length of each.
        start: radius of the ball in which the start is uniform.
        bounded: whether each step is projected back into the ball of radius ``eps``.
    """

    norm: Norm
    eps: float
    steps: int
    size: float
    start: float
    bounded: bool = True

    def applied(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """Return the attacked pictures; the model's mode, parameters and their gradients stay as they are.

        Args:
            model: images to logits; it is attacked in eval mode.
            images: float32 (n, c, h, w) in [0, 1].
            labels: int64 (n,), the true classes.
            rng: the stream of the start.

        Returns:
            float32 (n, c, h, w) in [0, 1], without a graph.
        """
        import torch
        from torch.nn.functional import cross_entropy

        found = (images + self._start(images, rng)).clamp_(0.0, 1.0)
        with _attacked(model), torch.enable_grad():
            for _ in range(self.steps):
                found.requires_grad_()
                # The sum: a picture's gradient must not shrink with the size of its batch.
                loss = cross_entropy(model(found), labels, reduction="sum")
                (slope,) = torch.autograd.grad(loss, found)
                found = self._moved(found.detach(), slope, images)
        return found

    def _start(self, images: Tensor, rng: Rng) -> Tensor:
        """Return one uniform draw from the ball of radius ``start`` a picture."""
        import torch

        generator = rng.at("start").torch()
        if self.norm == "linf":
            noise = torch.rand(images.shape, generator=generator) * 2.0 - 1.0
            return (self.start * noise).to(images.device)
        # A normal vector has a uniform direction; in d dimensions the volume grows with the radius^d.
        noise = torch.randn(images.shape, generator=generator)
        chance = torch.rand((len(images), 1, 1, 1), generator=generator)
        radius = self.start * chance ** (1.0 / images[0].numel())
        return (radius * noise / _lengths(noise)).to(images.device)

    def _moved(self, found: Tensor, slope: Tensor, images: Tensor) -> Tensor:
        """Return the pictures one step uphill."""
        if self.norm == "linf":
            found = found + self.size * slope.sign()
            if self.bounded:
                found = found.clamp(images - self.eps, images + self.eps)
        else:
            found = found + self.size * slope / _lengths(slope)
            if self.bounded:
                change = found - images
                found = images + change * (self.eps / _lengths(change)).clamp(max=1.0)
        # The images lie in [0, 1], so this brings every value nearer to them and never out of the ball.
        return found.clamp_(0.0, 1.0)


def _lengths(images: Tensor) -> Tensor:
    """Return the Euclidean length of each picture, (n, 1, 1, 1), never 0."""
    lengths: Tensor = images.flatten(1).norm(dim=1).clamp(min=1e-12)
    return lengths.view(-1, 1, 1, 1)


@contextmanager
def _attacked(model: nn.Module) -> Iterator[None]:
    """Hold a model in eval mode, its parameters without gradients: the backward pass skips their part."""
    training = model.training
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        model.train(training)


@contextmanager
def _unrecorded(model: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the statistics of the batch without adding them to the running ones."""
    from torch import nn

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    recording = [each for each in model.modules() if isinstance(each, kinds) and each.track_running_stats]
    for each in recording:
        each.track_running_stats = False
    try:
        yield
    finally:
        for each in recording:
            each.track_running_stats = True
