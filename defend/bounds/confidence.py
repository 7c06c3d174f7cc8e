"""Confidence bounds of a class's probability from votes under Gaussian noise, and the radius they certify.

The lower end of the exact one-sided interval (Clopper & Pearson 1934) and the radius of Cohen et al. 2019,
"Certified Adversarial Robustness via Randomized Smoothing". There is no torch here.
"""

from __future__ import annotations

from math import floor, inf, log
from statistics import NormalDist

from clearsight.data.sequential import planned_looks

NORMAL = NormalDist()
FIRST_LOOK = 100
"""Votes before the first look at an image that may end early."""
GROWTH = 3.0
"""Factor between looks: six looks from 100 votes to 10,000 spare most of the votes of images that are
plainly certified, or plainly not, and take a few thousandths of a radius."""


def lower_bound(votes: int, n: int, alpha: float) -> float:
    """Return a lower bound of the probability of a vote, wrong with probability ``alpha`` at most.

    Args:
        votes: 0 to ``n``.
        n: independent draws, at least 1.
        alpha: in (0, 1).
    """
    from scipy.special import betaincinv

    return float(betaincinv(votes, n - votes + 1, alpha)) if votes else 0.0


def upper_bound(votes: int, n: int, alpha: float) -> float:
    """Return an upper bound of the probability of a vote, wrong with probability ``alpha`` at most."""
    return 1.0 - lower_bound(n - votes, n, alpha)


def quantile(p: float) -> float:
    """Return the standard normal quantile of a probability; infinite at 0 and 1."""
    return -inf if p <= 0.0 else inf if p >= 1.0 else NORMAL.inv_cdf(p)


def votes_needed(z: float, alpha: float) -> int:
    """Return how many votes, all for one class, put the lower bound of its probability above Phi(``z``)."""
    return floor(log(alpha) / log(NORMAL.cdf(z))) + 1


def looks_of(n: int) -> tuple[int, ...]:
    """Return after how many votes the looks are made at an image that may end early; the last is ``n``."""
    return planned_looks(n, least=FIRST_LOOK, step=1, growth=GROWTH)
