"""PRIME training (Modas et al. 2022): mixed chains of three families of random transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.defend.training.versions import VersionsMethod

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.method import TrainBatch
    from clearsight.data.contract.rng import Rng


class Prime(VersionsMethod):
    """Cross-entropy on mixed random versions of an image, with a consistency loss where ``jsd`` has a weight.

    Each operation of a chain is drawn from one of three families of maximum entropy: a random 3x3 filter
    (spectral), a smooth random displacement (spatial), a random smooth curve of the values (colour). None of
    them is one of the corruptions that robustness is measured with.
    """

    kind: Literal["prime"] = "prime"
    purpose: ClassVar[str] = "PRIME: random filters, displacements and colour curves, mixed"

    spectral: Annotated[Number, Field(gt=0, le=10)] = 4.0
    """Largest standard deviation of the filter's taps, which are added to the identity (the authors' 4)."""
    spatial: Annotated[Number, Field(gt=0, le=0.5)] = 0.05
    """Largest root mean square of the displacement, as a share of the image's side. The authors bound its
    temperature instead; in both the field must not fold."""
    colour: Annotated[Number, Field(gt=0, le=1)] = 0.05
    """Largest variance of each of the 20 sine waves of a colour curve (the authors' 0.05)."""

    def versions(self, batch: TrainBatch, rng: Rng, copies: int) -> tuple[Tensor, ...]:
        """Return PRIME versions of the images."""
        from clearsight.defend.training.chains.prime import Strengths, prime_versions

        strengths = Strengths(float(self.spectral), float(self.spatial), float(self.colour))
        return prime_versions(
            batch.images,
            batch.ids,
            rng,
            strengths,
            copies=copies,
            width=self.width,
            depth=self.depth,
        )
