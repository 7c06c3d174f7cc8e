"""`Estimator`: a part whose tensors are fitted to what reaches it, without gradients through a system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import PartSpec

if TYPE_CHECKING:
    from torch import Tensor

BEHIND = "behind"
"""Key of a card: the keys of the classifiers whose output the part was fitted to."""
THROUGH = "through"
"""Key of a card: the key of the whole system whose output the part was fitted to, restorers and all."""


class Observation(NamedTuple):
    """What reached the part for one image.

    Attributes:
        value: one entry of the batch that the part takes: logits (classes,), or an image (c, h, w).
        truth: index of the image's class.
    """

    value: Tensor
    truth: int


Observations = Callable[[], Iterator[Observation]]
"""Starts one pass over all observations, in an order that is always the same."""


class Estimator(PartSpec):
    """Base of parts that ``clearsight fit`` fits. A subclass adds ``kind``, fields and the hooks below."""

    fewest: ClassVar[int] = 1
    """Fewest images that a fit needs."""

    @property
    def told(self) -> bool:
        """Hook: return whether the part is fitted: it has weights, or fields that give the values."""
        return self.weights is not None

    def ready(self) -> None:
        """Raise `ConfigError` unless the part was fitted, and `WeightsError` unless its weights are there."""
        if not self.told:
            raise ConfigError(
                "has not been fitted", where=self.name, hint="fit it with 'clearsight fit' and give 'weights'"
            )
        super().ready()

    def fit(self, rows: Observations, rng: Rng) -> Mapping[str, Tensor]:
        """Hook: return the tensors that go into the weights.

        Args:
            rows: one pass over the observations each time it is called.
            rng: for what is drawn.

        Raises:
            DataError: nothing can be fitted to these observations.
        """
        raise NotImplementedError

    def figures(self, rows: Observations, fitted: Mapping[str, Tensor], rng: Rng) -> dict[str, Any]:
        """Hook: return the card's figures on fitted tensors, measured on images that the fit did not see.

        Args:
            rows: observations of these images.
            fitted: what `fit` returned.
            rng: for intervals.
        """
        raise NotImplementedError

    def behind(self) -> frozenset[str] | None:
        """Return the keys of the classifiers that it was fitted behind; None if unknown."""
        from clearsight.data.weights import find

        told = None if self.weights is None else find(self.weights).card.get(BEHIND)
        return frozenset(map(str, told)) if isinstance(told, list) else None
