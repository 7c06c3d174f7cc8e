"""Split conformal prediction: scores of classes, and the threshold that makes sets of classes hold the truth.

Where a calibration image and a new one are exchangeable, the set of all classes whose score is no higher than
the threshold holds the true class with a probability of 1 - alpha at least, and of no more than
1 - alpha + 1 / (n + 1) where scores do not tie (Vovk et al. 2005; Papadopoulos et al. 2002).
"""

from __future__ import annotations

from math import ceil, inf

import torch
from torch import Tensor

from clearsight.data.contract.errors import DataError


def rank_of(n: int, alpha: float) -> int:
    """Return which of ``n`` sorted calibration scores is the threshold: ceil((n + 1)(1 - alpha)), from 1.

    Raises:
        DataError: there are too few for any threshold to keep the promise.
    """
    # 1 - 0.1 is not exact in binary: the product of 100 and 0.9 must not become 91.
    rank = ceil((n + 1) * (1.0 - alpha) - 1e-9)
    if rank > n:
        raise DataError(
            f"{n} calibration images are too few for alpha {alpha:g}: at least {fewest(alpha)} are needed",
            where="conformal sets",
            hint="give more images, or a larger alpha",
        )
    return rank


def fewest(alpha: float) -> int:
    """Return the fewest calibration images with which a threshold exists."""
    return ceil(1.0 / alpha - 1e-9) - 1


def threshold(scores: Tensor, alpha: float) -> Tensor:
    """Return the threshold, a float32 scalar, of the true classes' scores (n,).

    It is rounded up, so that no calibration score that should be below it is above.

    Raises:
        DataError: as `rank_of`.
    """
    found = scores.double().kthvalue(rank_of(len(scores), alpha)).values
    near = found.float()
    return near if near.double() >= found else torch.nextafter(near, torch.tensor(inf))


def thr(probabilities: Tensor) -> Tensor:
    """Return 1 - p (n, classes): sets of the classes that are likely enough (Sadinle et al. 2019)."""
    return 1.0 - probabilities


def aps(probabilities: Tensor, draws: Tensor | None) -> Tensor:
    """Return the probability (n, classes) of all likelier classes, and of the class itself or a part of it.

    Adaptive prediction sets (Romano et al. 2020): more classes where the classifier is less sure.

    Args:
        probabilities: (n, classes).
        draws: (n,) uniform in [0, 1): the part of the class's own probability that counts, with which
            coverage is exact; None: all of it counts, sets are larger and nothing is drawn.
    """
    if torch.compiler.is_compiling():
        before = (_likelier(probabilities) * probabilities[:, None, :]).sum(2)
        return before + (probabilities if draws is None else probabilities * draws[:, None])
    order = _order(probabilities)
    ordered = probabilities.gather(1, order)
    before = ordered.cumsum(1) - ordered
    own = ordered if draws is None else ordered * draws[:, None]
    return _back(before + own, order)


def ranks(probabilities: Tensor) -> Tensor:
    """Return the place (n, classes) of every class, 1 for the likeliest; of equally likely ones the first."""
    if torch.compiler.is_compiling():
        return 1 + _likelier(probabilities).sum(2)
    order = _order(probabilities)
    places = torch.arange(1, order.shape[1] + 1, device=order.device, dtype=probabilities.dtype)
    return _back(places.expand_as(order), order)


def _likelier(probabilities: Tensor) -> Tensor:
    """Return 1 in (n, j, i) where class i comes before class j: for exported graphs, which cannot sort."""
    own, others = probabilities[:, :, None], probabilities[:, None, :]
    place = torch.arange(probabilities.shape[1], device=probabilities.device)
    first = place[None, :] < place[:, None]
    return ((others > own) | ((others == own) & first)).to(probabilities.dtype)


def _order(probabilities: Tensor) -> Tensor:
    return probabilities.argsort(dim=1, descending=True, stable=True)


def _back(values: Tensor, order: Tensor) -> Tensor:
    return torch.empty_like(values).scatter_(1, order, values)
