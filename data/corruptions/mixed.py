"""Every image damaged in its own way: what a camera delivers, and no benchmark cell holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from clearsight.data.corruptions.base import Corruption
from clearsight.data.corruptions.damage import Damage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng


class MixedCorruption(Damage):
    """One of several corruptions for each image, drawn uniformly. It is called like a `Corruption`."""

    choices: Annotated[tuple[Corruption, ...], Field(min_length=2)]
    """What is drawn from."""

    def __call__(self, image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
        """Corrupt one image, uint8 (h, w, 1 or 3), as the corruption that is drawn does it alone.

        Args:
            image: at least 16x16. It is never changed in place.
            rng: the sample's stream.

        Raises:
            ShapeError: a shape or type that the corruption refuses.
        """
        place = int(rng.at("mixed").numpy().integers(len(self.choices)))
        return self.choices[place](image, rng)

    @property
    def kind(self) -> str:
        """Return how many there are: ``one of 15``."""
        return f"one of {len(self.choices)}"

    @property
    def severity(self) -> int:
        """Return the greatest severity; 0 where nothing is ever changed."""
        return max(choice.severity for choice in self.choices)

    @property
    def clean(self) -> bool:
        """Return True where images stay as they are."""
        return all(choice.clean for choice in self.choices)

    @property
    def table(self) -> str:
        """Return the severity constants, joined where they differ."""
        return " + ".join(self.all_tables)

    @property
    def all_tables(self) -> tuple[str, ...]:
        """Return the severity constants of the choices that change anything, each once."""
        return tuple(dict.fromkeys(table for choice in self.choices for table in choice.all_tables))

    @property
    def group(self) -> str:
        """Return what the report calls the family of combined corruptions."""
        return "combined"

    def fitted(self, side: float) -> Self:
        """Return it with every choice's table settled for images of this shorter side."""
        return self.model_copy(update={"choices": tuple(choice.fitted(side) for choice in self.choices)})

    def ready(self) -> None:
        """Raise `ClearsightError` unless what the choices name is there."""
        for choice in self.choices:
            choice.ready()
