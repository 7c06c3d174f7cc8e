"""The gradient ascent of adversarial training: short, from a random point, early-stopped if wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from clearsight.defend.search.balls import per_image, size
from clearsight.defend.search.early_stop import EarlyStopped, early_stopped
from clearsight.defend.search.modes import attacked

if TYPE_CHECKING:
    from clearsight.data.contract.method import Tally
    from clearsight.data.contract.rng import Rng

TINY = 1e-12


@dataclass(frozen=True)
class TrainingAttack:
    """Gradient ascent on a loss within a ball around each image, cut by [0, 1].

    Attributes:
        norm: of the ball and of the steps: ``linf`` follows the sign of the gradient, ``l2`` its direction.
        eps: radius of the ball.
        steps: how many at most.
        size: length of each.
        start: how far the random start goes: the radius of a ball in which it is uniform, or the standard
            deviation of a normal draw.
        spread: which of the two.
        bounded: whether each step is projected back into the ball of radius ``eps``.
        tau: steps that an image makes after it is first misclassified; None: all of them.
        jitter: standard deviation of the normal draw that is added to each step.
        divergence: raise the Kullback-Leibler divergence from the prediction for the unchanged image
            instead of the cross-entropy with the label.
    """

    norm: Literal["linf", "l2"]
    eps: float
    steps: int
    size: float
    start: float
    spread: Literal["uniform", "normal"] = "uniform"
    bounded: bool = True
    tau: int | None = None
    jitter: float = 0.0
    divergence: bool = False

    def applied(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """Return the attacked images of `search`, float32 (n, c, h, w) in [0, 1], without a graph."""
        return self.search(model, images, labels, rng).images

    def search(
        self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng, tally: Tally | None = None
    ) -> EarlyStopped:
        """Attack a batch; the model's mode, parameters and their gradients stay as they are.

        Args:
            model: images to logits; it is attacked in eval mode.
            images: float32 (n, c, h, w) in [0, 1].
            labels: int64 (n,), the true classes.
            rng: the stream of the start and the jitter.
            tally: where to count the gradients.
        """
        generator = rng.at("jitter").torch()

        def shaken(at: Tensor) -> Tensor:
            # Drawn for the whole batch: which images have stopped must not change what the others get.
            noise = torch.randn(images.shape, generator=generator).to(images.device)
            return self.jitter * noise[at]

        with attacked(model), torch.enable_grad():
            return early_stopped(
                self._look(model, images, labels, tally),
                images,
                (images + self._start(images, rng)).clamp_(0.0, 1.0),
                labels,
                norm=self.norm,
                eps=self.eps if self.bounded else torch.inf,
                steps=self.steps,
                step_size=self.size,
                tau=self.steps if self.tau is None else self.tau,
                noise=shaken if self.jitter else None,
            )

    def _look(
        self, model: nn.Module, images: Tensor, labels: Tensor, tally: Tally | None
    ) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return what gives logits and gradients of chosen images."""
        with torch.no_grad():
            wanted = model(images).softmax(1) if self.divergence else None

        def look(x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
            point = x.detach().requires_grad_()
            logits = model(point)
            # The sum: an image's gradient must not shrink with the size of its batch.
            if wanted is None:
                loss = cross_entropy(logits, labels[at], reduction="sum")
            else:
                loss = kl_div(logits.log_softmax(1), wanted[at], reduction="sum")
            (slope,) = torch.autograd.grad(loss, point)
            if tally:
                tally.passes += len(at)
            return logits.detach(), slope

        return look

    def _start(self, images: Tensor, rng: Rng) -> Tensor:
        """Return one draw an image."""
        generator = rng.at("start").torch()
        if self.norm == "linf" and self.spread == "uniform":
            noise = torch.rand(images.shape, generator=generator) * 2.0 - 1.0
            return (self.start * noise).to(images.device)
        noise = torch.randn(images.shape, generator=generator)
        if self.spread == "normal":
            return (self.start * noise).to(images.device)
        # A normal vector has a uniform direction; in d dimensions the volume grows with the radius^d.
        chance = torch.rand((len(images),), generator=generator)
        radius = self.start * chance ** (1.0 / images[0].numel())
        return (noise * per_image(radius / size(noise, "l2").clamp_min(TINY), noise)).to(images.device)
