"""Networks that another restorer names by the id of their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.spec import content_key
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clearsight.data.contract.spec import PartSpec


def named_network(name: str, where: str) -> RestorerSpec:
    """Return the resolved spec of the restorer that weights belong to.

    Args:
        name: id or folder of the weights.
        where: the restorer and its field, for errors.

    Raises:
        WeightsError: they are not found.
    """
    from clearsight.data.weights import find
    from clearsight.restore.catalogue import RESTORERS

    try:
        kind = find(name).card["spec"].get("kind")
    except WeightsError as error:
        raise WeightsError(error.what, where=where, hint=error.hint) from None
    return RESTORERS.of_word({"kind": kind, "weights": name}, name, where=where).resolved()


def named_denoiser(name: str, where: str) -> RestorerSpec:
    """Return the resolved spec of a denoiser, as `named_network` does.

    Raises:
        WeightsError: the weights are not found, or their network is not told the noise level.
    """
    spec = named_network(name, where)
    if not spec.conditioned_on("noise_level"):
        raise WeightsError(
            f"'{name}' is of kind {spec.name} without a noise map",
            where=where,
            hint="name the weights of a denoiser that is told the noise level",
        )
    return spec


def fingerprint_with(spec: PartSpec, fields: Sequence[str]) -> str:
    """Return a key of a restorer's fields and of the sha256 of the weights that some of them name.

    By content: where the weights lie changes no result.
    """
    from clearsight.data.weights import find

    names = [getattr(spec, field) for field in fields]
    others = {key: value for key, value in spec.identity().items() if key not in fields}
    return content_key([others, *(None if name is None else find(name).sha256 for name in names)])


def refuse_own_weights(spec: PartSpec, field: str) -> None:
    """Raise `ValueError` where a restorer whose field names weights was given ``weights`` as well."""
    if spec.weights is not None:
        raise ValueError(f"the weights are the {field}'s: write them as '{field}', leave 'weights' out")


class DenoiserPrior(RestorerSpec):
    """Base of restorers whose prior is a denoiser of colour images and one of grey ones."""

    denoiser: str | None = "denoise-color-v1"
    """Id or folder of a colour denoiser's weights, whose network must take a noise map; null: none, and only
    grey images are accepted."""
    denoiser_gray: str | None = "denoise-gray-v1"
    """The same for grey images; null gives them to the colour denoiser."""

    @model_validator(mode="after")
    def _names_denoisers(self) -> Self:
        refuse_own_weights(self, "denoiser")
        if self.denoiser is None and self.denoiser_gray is None:
            raise ValueError("name a denoiser: 'denoiser' for colour, 'denoiser_gray' for grey images")
        return self

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: a Fourier transform looks at the whole image."""
        return RestorerFacts(channels=(1,) if self.denoiser is None else (1, 3))

    def ready(self) -> None:
        """Raise `WeightsError` unless the denoisers can be found and take a noise map."""
        for channels in (3, 1):
            self.prior(channels)

    def fingerprint(self) -> str:
        """Return a key of the fields and of the sha256 of the denoisers' weights."""
        return fingerprint_with(self, ("denoiser", "denoiser_gray"))

    def prior(self, channels: int) -> RestorerSpec | None:
        """Return the resolved spec of the denoiser for this number of channels, or None."""
        field = "denoiser" if channels == 3 else "denoiser_gray"
        name = self.denoiser if channels == 3 else self.denoiser_gray
        return None if name is None else named_denoiser(name, where=f"{self.name}, {field}")
