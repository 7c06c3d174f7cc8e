"""`Damage`: what one condition does to an image, whether it is computed or was computed by others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from clearsight.data.contract.spec import Spec, kind_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng
    from clearsight.data.contract.sample import Sample
    from clearsight.data.sources.entries import Entry


class Damage(Spec):
    """Base of corruptions, their sequences and mixtures, and of the files of a published benchmark."""

    reads_disk: ClassVar[bool] = False
    """Whether the damaged images are read from files, which a worker on another machine does not have."""

    @property
    def called(self) -> str:
        """Return what reports call it, and count as one type of damage: its kind."""
        return kind_of(self)

    def __call__(self, image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
        """Hook: return the damaged image, uint8 (h, w, c) as given; ``rng`` is the sample's stream."""
        raise NotImplementedError

    def of(self, sample: Sample, rng: Rng) -> NDArray[np.uint8]:
        """Return the damaged image of a sample, uint8 of the same shape.

        Args:
            sample: the undamaged image.
            rng: of all samples; the sample's own stream is below it.
        """
        return self(sample.image, rng.at(sample.id))

    def lacking(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        """Return id -> reason of the images that cannot be damaged; what is computed lacks none."""
        return {}

    def bound(self, entries: Sequence[Entry]) -> Self:
        """Return it for these images, none of which it lacks: its `identity` then says what they become."""
        return self
