"""`Certificate`: what is proved of a system around an image."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.column import Column
from clearsight.defend.probe import Probe

ABSTAINS = -1
"""The class of an image of which nothing is proved."""
PREDICTION = Column(name="prediction", label="Certified class", dtype="int32")
VOTED = Column(name="voted", label="Class", dtype="int32")
RADIUS = Column(name="radius", label="Radius", dtype="float64", digits=3, better="higher")


class Certificate(Probe):
    """Base of certificates. A subclass adds ``kind``, hyper-parameters and the hook `examine`.

    `examine` returns float64 (n, columns): the class that holds in the whole ball (-1: none), the radius of
    that ball (0 where it abstains), the class that the image gets if nothing has to be proved, and any
    further `columns` of the kind.
    """

    norm: ClassVar[Literal["l2", "linf", "l1"]] = "l2"
    """The norm that the radius is measured in, for pixels in [0, 1]."""
    columns: ClassVar[tuple[Column, ...]] = (PREDICTION, RADIUS, VOTED)
    """What it finds of an image, in the order of the columns of its result."""

    images: Annotated[int, Field(ge=1)] | None = None
    """Certify only so many images, spread evenly over those of the run; left out: all."""

    @property
    def noise(self) -> float | None:
        """Return the standard deviation of the added noise, for parts that take it; None without noise."""
        return None

    @property
    def attacks(self) -> tuple[str, ...]:
        """Return the names of the attacks to run on the certified system."""
        return ()

    @property
    def largest(self) -> float:
        """Hook: return the largest radius that it can find."""
        raise NotImplementedError

    def passes(self) -> int:
        """Hook: return the most forward passes that one image can cost."""
        raise NotImplementedError
