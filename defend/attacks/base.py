"""`Attack`: what every attack says of itself; `BallAttack`: those that stay in a norm ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.spec import Number, kind_of
from clearsight.defend.probe import Probe

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target

Threat = Literal["adaptive", "oblivious", "transfer", "scores", "labels"]
LARGEST = {"linf": 1.0, "l2": 30.0, "l1": 1000.0}
"""A radius above this was meant for pixels in 0 to 255."""
EOT = 10
"""Draws of ``eot: auto``."""
SLACK = 1e-5
"""Rounding error of float32 that a perturbation may exceed its radius by, relative to the radius."""


class Attack(Probe):
    """Base of attacks. A subclass adds ``kind``, ``strength``, hyper-parameters and ``run``."""

    threat: Threat = "adaptive"
    """What the attacker knows. ``adaptive``: every part of the system. ``oblivious``: the classifier alone;
    its images then go through the whole system. ``transfer``: another system, named by ``source``.
    ``scores``, ``labels``: the logits, or the predicted class, of the whole system."""
    source: str | None = None
    """For ``threat: transfer``: name of the system that the images are made on."""
    through: Literal["bpda", "exact"] = "bpda"
    """``bpda``: exact gradients where a part has them, its declared surrogate where it has not (Athalye et
    al. 2018). ``exact``: refuse systems whose gradient is not exact in every part."""
    eot: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Draws that logits and gradients of a system with random parts are averaged over; ``auto``: 10."""
    keep: bool = False
    """Keep the adversarial images in the run folder, without loss, to replay them on another system."""

    needs_detector: ClassVar[bool] = False
    """True where it attacks the detector beside a system's output too."""

    @model_validator(mode="after")
    def _threat_fits(self) -> Self:
        if (self.threat == "transfer") != (self.source is not None):
            raise ValueError("'source' names the other system of 'threat: transfer': give both or neither")
        shown = {"scores": ("scores", "labels"), "labels": ("labels",)}.get(self.threat)
        if shown and self.sees not in (*shown, "nothing"):
            raise ValueError(
                f"{kind_of(self)} needs to see {self.sees}; 'threat: {self.threat}' does not show it"
            )
        return self

    @property
    def radius(self) -> tuple[str, float] | None:
        """Return the norm and the radius that bound its perturbation; None where nothing does."""
        return None

    @property
    def averaged(self) -> int:
        """Return the draws that logits and gradients of a system with random parts are averaged over."""
        return EOT if self.eot == "auto" else self.eot

    @property
    def company(self) -> bool:
        """Return True where an image's result may depend on the other images of its batch."""
        return False

    def passes(self, classes: int) -> tuple[int, int]:
        """Hook: return the most forward and backward passes that one image can cost in one draw.

        The first look at the image, and the one that judges the result, are not among them.
        """
        raise NotImplementedError

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Hook: return adversarial images (n, c, h, w) in [0, 1].

        All images are classified correctly to begin with. An image that no attack was found for may come
        back as whatever came closest. Randomness comes from ``rng`` by image id (`Streams`).
        """
        raise NotImplementedError

    def examine(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Attack the images that are classified correctly, and check what comes back.

        Returns:
            (n, c, h, w) in [0, 1]; images that were wrong already come back as they are.

        Raises:
            AttackError: a result of another shape, or outside of range or ball (an error in the attack).
            DataError: a result that is not finite.
        """
        right = target.logits(batch.images, batch.rows).argmax(1) == batch.labels
        out = batch.images.clone()
        nowhere = self.radius is not None and self.radius[1] == 0
        if right.any() and not nowhere:
            chosen = batch.of(right)
            out[right] = self._checked(self.run(target, chosen, rng), chosen)
        return out

    def _checked(self, images: Tensor, batch: AttackBatch) -> Tensor:
        from clearsight.data.finite import refuse_non_finite
        from clearsight.defend.search.balls import size

        if images.shape != batch.images.shape:
            shapes = f"{tuple(images.shape)} for {tuple(batch.images.shape)}"
            raise AttackError(f"it returned images of another shape: {shapes}", where=kind_of(self))
        refuse_non_finite(images, "it returned images that are", batch.ids, where=kind_of(self))
        if images.min() < 0.0 or images.max() > 1.0:
            raise AttackError("it returned pixels outside of [0, 1]", where=kind_of(self))
        if self.radius is not None:
            norm, eps = self.radius
            worst = size(images - batch.images, norm).max().item()  # type: ignore[arg-type]
            # The difference of two float32 pixels is itself rounded.
            if worst > eps * (1.0 + SLACK) + 1e-6:
                raise AttackError(
                    f"its {norm} perturbation of {worst:.6g} exceeds {eps:.6g}", where=kind_of(self)
                )
        return images.detach()


class BallAttack(Attack):
    """Base of attacks whose perturbation is bounded by a norm."""

    norm: Literal["linf", "l2", "l1"] = "linf"
    """Norm of the perturbation."""
    eps: Annotated[Number, Field(ge=0)] = 8 / 255
    """Its radius, for pixels in [0, 1]: 8/255 is usual for linf, 0.5 for l2, 12 for l1 (at 32 px)."""

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    """Norms that the attack is defined for."""

    @model_validator(mode="after")
    def _radius_fits(self) -> Self:
        if self.norm not in self.norms:
            raise ValueError(
                f"norm: {kind_of(self)} is defined for {', '.join(self.norms)}, not for {self.norm}"
            )
        if self.eps > LARGEST[self.norm]:
            raise ValueError(
                f"eps: {self.eps:g} is too large for pixels in [0, 1];"
                f" if it was meant for 0 to 255, write {self.eps:g}/255"
            )
        return self

    @property
    def radius(self) -> tuple[str, float] | None:
        """Return norm and radius."""
        return self.norm, self.eps


class IterativeAttack(BallAttack):
    """Base of attacks that climb a loss by steps of one length."""

    old_names: ClassVar[dict[str, str]] = {"step": "step_size"}

    steps: Annotated[int, Field(ge=1)] = 40
    """Gradient steps from each start."""
    step_size: Annotated[Number, Field(gt=0)] | None = None
    """Length of a step; left out: 2.5 eps / steps."""

    @property
    def length(self) -> float:
        """Return the length of a step."""
        from clearsight.defend.search.balls import usual_step

        return usual_step(self.eps, self.steps) if self.step_size is None else self.step_size


def needs_classes(kind: str, least: int, classes: int) -> None:
    """Raise `AttackError` where there are fewer classes than the attack's loss compares."""
    if classes < least:
        raise AttackError(
            f"needs at least {least} classes, the system has {classes}",
            where=kind,
            hint="use an attack on the margin or the cross-entropy (pgd, cw, apgd with loss: cross_entropy)",
        )
