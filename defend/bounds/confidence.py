"""What votes under Gaussian noise say of the probability behind them, and of the radius that it certifies.

The lower end of the exact one-sided interval (Clopper & Pearson 1934) and the radius of Cohen et al. 2019,
"Certified Adversarial Robustness via Randomized Smoothing". There is no torch here.
"""

from __future__ import annotations

from math import floor, inf, log
from statistics import NormalDist

from clearsight.data.sequential import planned_looks

NORMAL = NormalDist()
FIRST_LOOK = 100
"""Votes before the first look of an image that may end early."""
GROWTH = 3.0
"""From one look to the next: six looks from 100 votes to 10,000 spare most of the votes of images that are
plainly certified, or plainly not, and take a few thousandths of a radius."""


def lower_bound(votes: int, n: int, alpha: float) -> float:
    """Return what the probability of a vote exceeds, wrong with probability ``alpha`` at most.

    Args:
        votes: 0 to ``n``.
        n: independent draws, at least 1.
        alpha: in (0, 1).
    """
    from scipy.special import betaincinv

    return float(betaincinv(votes, n - votes + 1, alpha)) if votes else 0.0


def upper_bound(votes: int, n: int, alpha: float) -> float:
    """Return what the probability of a vote stays below, wrong with probability ``alpha`` at most."""
    return 1.0 - lower_bound(n - votes, n, alpha)


def quantile(p: float) -> float:
    """Return the standard normal quantile of a probability; infinite at 0 and 1."""
    return -inf if p <= 0.0 else inf if p >= 1.0 else NORMAL.inv_cdf(p)


def votes_needed(z: float, alpha: float) -> int:
    """Return how many votes, all for one class, put the bound of its probability above the quantile ``z``."""
    return floor(log(alpha) / log(NORMAL.cdf(z))) + 1


def looks_of(n: int) -> tuple[int, ...]:
    """Return after how many votes one looks at an image that may end early; the last is all of them."""
    return planned_looks(n, least=FIRST_LOOK, step=1, growth=GROWTH)
