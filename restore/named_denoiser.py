"""Denoisers that another restorer names by the id of their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.spec import content_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clearsight.data.contract.spec import PartSpec
    from clearsight.restore.base import RestorerSpec


def named_denoiser(name: str, where: str) -> RestorerSpec:
    """Return the resolved spec of the denoiser that weights belong to.

    Args:
        name: id or folder of the weights.
        where: the restorer and its field, for errors.

    Raises:
        WeightsError: they are not found, or their network is not told the noise level.
    """
    from clearsight.data.weights import find
    from clearsight.restore.catalogue import RESTORERS

    try:
        kind = find(name).card["spec"].get("kind")
    except WeightsError as error:
        raise WeightsError(error.what, where=where, hint=error.hint) from None
    spec = RESTORERS.of_word({"kind": kind, "weights": name}, name, where=where).resolved()
    if not spec.conditioned_on("noise_level"):
        raise WeightsError(
            f"'{name}' is of kind {kind} without a noise map",
            where=where,
            hint="name the weights of a denoiser that is told the noise level",
        )
    return spec


def fingerprint_with(spec: PartSpec, names: Sequence[str | None]) -> str:
    """Return a key of a restorer's fields and of the sha256 of the denoisers it names.

    By content: where the weights lie changes no result.
    """
    from clearsight.data.weights import find

    fields = {key: value for key, value in spec.identity().items() if not key.startswith("denoiser")}
    return content_key([fields, *(None if name is None else find(name).sha256 for name in names)])
