"""Dual randomised smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.defend.certify.smoothing import Bounded, Smoothing

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.defend.bounds.votes import Noisy


class DualRandomizedSmoothing(Smoothing):
    """Smoothing of two interleaved halves of an image, each in half the dimension (Xia et al. 2024).

    The answer is the class with the largest sum of the two smoothed probabilities. A perturbation that moves
    the halves by sigma u and sigma v leaves a sum above 1 as long as u + v < q1 + q2, the normal quantiles of
    the two bounds; the smallest one that does not is sigma (q1 + q2) / sqrt(2) long, half of its square in
    each half. That is the radius. The larger sqrt(R1² + R2²) of the released code would need an attacker who
    splits the budget as the radii are split, and none has to. Both bounds hold together: each has half of
    ``alpha``. One of the two may be below one half. ``n0`` and ``n`` are versions of each half.
    """

    kind: Literal["dual_randomized_smoothing"] = "dual_randomized_smoothing"
    purpose: ClassVar[str] = "L2 radius by votes on two interleaved halves of the image"
    columns: ClassVar[tuple[Column, ...]] = (
        *Smoothing.columns[:-1],
        Column(name="bound_even", label="Least share, even half", dtype="float64", digits=4),
        Column(name="bound_odd", label="Least share, odd half", dtype="float64", digits=4),
    )

    @property
    def each_alpha(self) -> float:
        """Return the error probability of the bound of one half."""
        return super().each_alpha / 2.0

    def noisy_half(self, images: Tensor, noise: Tensor, *, parity: int) -> Tensor:
        """Return images with the noise of one half, filled up from it: the other half is not seen."""
        from clearsight.defend.bounds.halves import half

        return half(self.noisy(images, noise), parity)

    @property
    def views(self) -> tuple[Noisy, ...]:
        """Return the two halves."""
        return (partial(self.noisy_half, parity=0), partial(self.noisy_half, parity=1))

    def bounded(self, votes: Sequence[int], look: int) -> Bounded:
        """Return what the votes for one class in the two halves certify."""
        from clearsight.defend.bounds.confidence import lower_bound, upper_bound

        low, high = (
            tuple(bound(count, look, self.each_alpha) for count in votes)
            for bound in (lower_bound, upper_bound)
        )
        return Bounded(self.joint_radius(*low), self.joint_radius(*high), low)

    def joint_radius(self, first: float, second: float) -> float:
        """Return the radius that probabilities in the two halves certify; 0 or less for none."""
        from clearsight.defend.bounds.confidence import quantile

        if min(first, second) <= 0.0:
            return 0.0
        return self.sigma * (quantile(first) + quantile(second)) / sqrt(2.0)
