"""`PoisonFilter`: names the training images that a trained classifier's features give away as poisoned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from clearsight.data.contract.spec import Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST = 4
"""Images of a class below which nothing is said about it: its features have no shape."""


@dataclass(frozen=True)
class Sifted:
    """What a filter says of images.

    Attributes:
        scores: (n,) how suspicious each image is; comparable between images of all classes.
        removed: (n,) which of them it would remove.
    """

    scores: NDArray[np.float64]
    removed: NDArray[np.bool_]


class PoisonFilter(Spec):
    """Base of all filters. A subclass adds ``kind`` and the hook `sift`."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    def sift(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> Sifted:
        """Hook: judge all images at once.

        Args:
            features: (n, d) what the last linear layer of the trained classifier was given.
            labels: (n,) as the training got them.
        """
        raise NotImplementedError


def most_suspicious(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Return the ``count`` images with the highest scores above 0; of equal ones the first."""
    import numpy as np

    out = np.zeros(len(scores), bool)
    out[np.argsort(-scores, kind="stable")[:count]] = True
    return out & (scores > 0)
