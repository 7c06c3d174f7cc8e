"""Several corruptions of one image, one after the other: real degradation seldom comes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from clearsight.data.contract.spec import kind_of
from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.damage import Damage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng


class CorruptionSequence(Damage):
    """What a condition that is a list in YAML does to an image. It is called like a `Corruption`."""

    steps: Annotated[tuple[Corruption, ...], Field(min_length=2)]
    """Applied in this order."""

    def __call__(self, image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
        """Corrupt one image, uint8 (h, w, 1 or 3), with every step.

        The first step draws what it draws alone; the path of each later one is extended by its position, so
        that two of one kind and severity draw different numbers.

        Args:
            image: at least 16x16. It is never changed in place.
            rng: the sample's stream.

        Raises:
            ShapeError: a shape or type that a step refuses.
        """
        for position, step in enumerate(self.steps):
            image = step(image, rng.at("step", position) if position else rng)
        return image

    @property
    def kind(self) -> str:
        """Return the kinds, joined: ``low_light + jpeg_compression``."""
        return " + ".join(kind_of(step) for step in self.steps)

    @property
    def severity(self) -> int:
        """Return the greatest severity; 0 where no step changes anything."""
        return max(step.severity for step in self.steps)

    @property
    def clean(self) -> bool:
        """Return True where images stay as they are."""
        return all(step.clean for step in self.steps)

    @property
    def table(self) -> str:
        """Return the severity constants, joined where they differ."""
        return " + ".join(self.all_tables)

    @property
    def all_tables(self) -> tuple[str, ...]:
        """Return the severity constants of the steps that change anything, each once."""
        return tuple(dict.fromkeys(table for step in self.steps for table in step.all_tables))

    @property
    def group(self) -> str:
        """Return what the report calls the family of combined corruptions."""
        return "combined"

    def fitted(self, side: float) -> Self:
        """Return it with every step's table settled for images of this shorter side."""
        return self.model_copy(update={"steps": tuple(step.fitted(side) for step in self.steps)})

    def ready(self) -> None:
        """Raise `ClearsightError` unless what the steps name is there."""
        for step in self.steps:
            step.ready()


def in_order(corruptions: Corruption | tuple[Corruption, ...]) -> Corruption | CorruptionSequence:
    """Return what applies corruptions in order: the corruption itself where there is only one."""
    if isinstance(corruptions, Corruption):
        return corruptions
    return corruptions[0] if len(corruptions) == 1 else CorruptionSequence(steps=corruptions)
