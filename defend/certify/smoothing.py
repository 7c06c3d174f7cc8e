"""`Smoothing`: certificates by votes under Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from clearsight.data.contract.column import Column
from clearsight.data.contract.spec import Number
from clearsight.defend.certify.base import ABSTAINS, PREDICTION, RADIUS, VOTED, Certificate
from clearsight.defend.probe import Sees

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.bounds.votes import Ballots, Noisy
    from clearsight.defend.target import AttackBatch, Target


@dataclass(frozen=True)
class Bounded:
    """What votes certify of an image.

    Attributes:
        radius: certified radius; 0 or less where nothing is certified.
        at_most: radius that further votes are unlikely to exceed.
        bounds: lower bounds of the probability of the class, one per view.
    """

    radius: float
    at_most: float
    bounds: tuple[float, ...]


class Smoothing(Certificate):
    """Base of certificates by votes on noisy versions of an image (Cohen et al. 2019).

    They hold for the smoothed system: the one that answers with the class that most noisy versions of an
    image get. The noise is not clamped, as in the paper, unless ``clip`` says so.
    """

    sees: ClassVar[Sees] = "labels"
    columns: ClassVar[tuple[Column, ...]] = (
        PREDICTION,
        RADIUS,
        VOTED,
        Column(name="samples", label="Samples", dtype="int64", digits=0),
        Column(name="bound", label="Least share of the votes", dtype="float64", digits=4),
    )

    sigma: Annotated[Number, Field(gt=0, le=2)] = 0.25
    """Standard deviation of the noise, for values in [0, 1]; passed to parts that take the noise level."""
    n0: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Noisy versions that choose the class."""
    n: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Further ones that bound its probability."""
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = 0.001
    """Probability that the certificate of an image is wrong, at most."""
    radius: Annotated[Number, Field(gt=0)] | None = None
    """Stop voting on an image once it is decided whether it is certified to this radius; the bounds of all
    planned looks hold together, so that radii are a little smaller. Left out: always ``n`` versions."""
    clip: bool = False
    """Limit noisy values to [0, 1] before the system sees them: for parts that compute with whole levels."""
    batch: Annotated[int, Field(ge=1, le=8192)] = 256
    """Noisy images computed together."""
    attacked_by: tuple[str, ...] = ()
    """Names of L2 attacks of the config that are also run on the smoothed system, with gradients and logits
    averaged over noise (``eot`` draws). The accuracy under them, by votes of ``n0`` versions, is an upper
    bound beside the certified lower one."""

    @model_validator(mode="after")
    def _votes_suffice(self) -> Self:
        from clearsight.defend.bounds.confidence import votes_needed

        if self.largest <= 0.0:
            raise ValueError(
                f"n: {self.n} votes certify nothing at alpha {self.alpha:g}, even if all agree;"
                f" at least {votes_needed(self.least_quantile, self.each_alpha)} are needed"
            )
        if self.radius is not None and self.largest < self.radius:
            raise ValueError(
                f"radius: {self.n} votes at alpha {self.alpha:g} and sigma {self.sigma:g} certify at most"
                f" {self.largest:.3f}, not {self.radius:g}; take more votes (n) or another sigma"
            )
        return self

    @property
    def noise(self) -> float | None:
        """Return sigma."""
        return self.sigma

    @property
    def least_quantile(self) -> float:
        """Return the normal quantile of the share of the votes at which the radius is 0: that of one half."""
        return 0.0

    @property
    def attacks(self) -> tuple[str, ...]:
        """Return ``attacked_by``."""
        return self.attacked_by

    @property
    def largest(self) -> float:
        """Return the radius of an image whose votes all agree."""
        return self.bounded([self.n] * len(self.views), self.n).radius

    def passes(self) -> int:
        """Return the most votes that one image can cost."""
        return len(self.views) * (self.n0 + self.n)

    @property
    def looks(self) -> tuple[int, ...]:
        """Return after how many votes an image may end."""
        from clearsight.defend.bounds.confidence import looks_of

        return (self.n,) if self.radius is None else looks_of(self.n)

    @property
    def each_alpha(self) -> float:
        """Return the error probability of one bound, with which all bounds of an image hold together."""
        return self.alpha / len(self.looks)

    @property
    def views(self) -> tuple[Noisy, ...]:
        """Hook: return what makes the noisy versions that vote, one or several ways that vote together."""
        return (self.noisy,)

    def bounded(self, votes: Sequence[int], look: int) -> Bounded:
        """Hook: return what the votes for one class certify; of one view unless it is overridden.

        Args:
            votes: of each of the `views`.
            look: noisy versions that each was drawn.
        """
        from clearsight.defend.bounds.confidence import lower_bound, quantile, upper_bound

        low, high = (bound(votes[0], look, self.each_alpha) for bound in (lower_bound, upper_bound))
        radius, at_most = (self.sigma * (quantile(share) - self.least_quantile) for share in (low, high))
        return Bounded(radius, at_most, (low,))

    def noisy(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return images (n, c, h, w) with their noise."""
        x = images + self.sigma * noise
        return x.clamp(0.0, 1.0) if self.clip else x

    def votes(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return how ``n0`` noisy versions of each image and view vote, int64 (n, classes)."""
        return self._chosen(self._ballots(target, batch, rng))

    def examine(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the `columns` of each image, float64 (n, columns)."""
        import torch

        ballots = self._ballots(target, batch, rng)
        classes = self._chosen(ballots).argmax(1)
        out = torch.zeros(len(batch), len(self.columns), dtype=torch.float64)
        votes = torch.zeros(len(self.views), len(batch), dtype=torch.int64)
        undecided, before = torch.arange(len(batch)), 0
        for look in self.looks:
            for i, view in enumerate(self.views):
                counted = ballots.round(f"bound-{i}-{look}", undecided, look - before, view)
                votes[i] += counted.gather(1, classes[:, None])[:, 0]
            before, still = look, []
            for row in undecided.tolist():
                found = self.bounded(votes[:, row].tolist(), look)
                out[row] = torch.tensor(self._row(int(classes[row]), found, look), dtype=torch.float64)
                still += [row] if self._open(found, look) else []
            undecided = torch.tensor(still, dtype=torch.int64)
            if not still:
                break
        return out

    def _ballots(self, target: Target, batch: AttackBatch, rng: Rng) -> Ballots:
        from clearsight.defend.bounds.votes import Ballots

        return Ballots(target, batch, rng, self.batch)

    def _chosen(self, ballots: Ballots) -> Tensor:
        import torch

        every = torch.arange(len(ballots.batch))
        counts = [ballots.round(f"choose-{i}", every, self.n0, view) for i, view in enumerate(self.views)]
        return torch.stack(counts).sum(0)

    def _row(self, chosen: int, found: Bounded, look: int) -> tuple[float, ...]:
        held = (float(chosen), found.radius) if found.radius > 0 else (float(ABSTAINS), 0.0)
        return (*held, float(chosen), float(len(self.views) * (self.n0 + look)), *found.bounds)

    def _open(self, found: Bounded, look: int) -> bool:
        """Return whether to go on: whether the wanted radius is neither certain nor hopeless yet.

        Giving up on an image needs no proof: the bound that is reported holds at every look.
        """
        if self.radius is None or look == self.n:
            return False
        return found.radius < self.radius <= found.at_most
