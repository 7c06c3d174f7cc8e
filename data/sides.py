"""The two sides of the images that a choice is made on: one searches, one judges; a test part is neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.sources.base import HoldOut, Source
from clearsight.data.sources.joined import Joined
from clearsight.data.weights import find


def side_of(data: Source, judge: HoldOut, *, judging: bool, take: int | None = None) -> Source:
    """Return one side of the images, in random order.

    The two sides are split off what the source's own ``hold_out`` leaves; a smaller ``take`` is a part of a
    larger one.

    Args:
        data: all images.
        judge: the part that judges.
        judging: which side.
        take: images at most; None for all.
    """
    side: Literal["held_out", "train"] = "held_out" if judging else "train"
    return Joined(
        of=(data,),
        hold_out=judge,
        subset=side,
        take=take,
        order="shuffled",
        size=data.size,
        crop=data.crop,
    )


def refuse_test_images(data: Source, weights: str) -> None:
    """Refuse images that the card of weights names as its test part.

    Raises:
        ConfigError: some are among ``data``: the test would no longer be independent of the choice.
    """
    _refuse_shared(data, weights, "test", "a test that chose anything is none")


def refuse_training_images(data: Source, weights: str) -> None:
    """Refuse images that weights were trained on, as their card says; their validation part is none of them.

    Raises:
        ConfigError: some are among ``data``: a network is surer of them than of any others.
    """
    _refuse_shared(data, weights, "training", "a network is surer of images that it was trained on")


def _refuse_shared(data: Source, weights: str, part: Literal["test", "training"], why: str) -> None:
    recipe = find(weights).card.get("recipe", {})
    told = recipe.get("test" if part == "test" else "data")
    if not told or not _places(data.model_dump(mode="json")) & _places(told):
        return
    try:
        source = SOURCES.parse(told)
        if part == "training":
            rule = HoldOut.model_validate(recipe["validation"])
            source = Joined(of=(source,), hold_out=rule, subset="train")
        used = {entry.id for entry in source.index().entries}
    except ClearsightError:
        # A card may tell of files that are not here; then they are not among the images either.
        return
    if shared := sum(entry.id in used for entry in data.index().entries):
        raise ConfigError(
            f"{shared} of these images are the {part} part of '{weights}', as its card says",
            where="data",
            hint=f"take others: {why}",
        )


def _places(source: Mapping[str, Any]) -> set[tuple[object, object]]:
    """Return which kind of source reads from where: images of other files may have equal ids."""
    if source.get("kind") == "joined":
        return {place for each in source["of"] for place in _places(each)}
    return {(source.get("kind"), source.get("path") or source.get("repo"))}
