"""The two sides of the images: one searches, one judges; a test part is neither."""

from __future__ import annotations

from typing import Literal

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.sources.base import Source
from clearsight.data.sources.joined import Joined
from clearsight.data.weights import find
from clearsight.pipelines.config.tune import Tune


def part_of(config: Tune, *, judging: bool, take: int | None) -> Source:
    """Return one side of the images, in random order.

    The two sides are split off what the config's own ``hold_out`` leaves; a smaller ``take`` is a part of a
    larger one.
    """
    side: Literal["held_out", "train"] = "held_out" if judging else "train"
    return Joined(
        of=(config.data,),
        hold_out=config.judge,
        subset=side,
        take=take,
        order="shuffled",
        size=config.data.size,
        crop=config.data.crop,
    )


def refuse_test_images(config: Tune) -> None:
    """Refuse images that the card of the classifier's weights names as its test part.

    Raises:
        ConfigError: some are among ``data``: figures on the test would be those of a chain chosen on it.
    """
    if config.classifier.weights is None:
        return
    told = find(config.classifier.weights).card.get("recipe", {}).get("test")
    if not told or not _from_one_place(config.data, told):
        return
    try:
        tested = {entry.id for entry in SOURCES.parse(told).index().entries}
    except ClearsightError:
        # A card may tell of files that are not here; then they are not among the images either.
        return
    if shared := sum(entry.id in tested for entry in config.data.index().entries):
        raise ConfigError(
            f"{shared} of these images are the test part of '{config.classifier.weights}', as its card says",
            where="data",
            hint="search on others: a test that chose the chain is none",
        )


def _from_one_place(source: Source, told: dict[str, object]) -> bool:
    """Return whether a source reads what a card's source reads: images of other files may have equal ids."""
    if isinstance(source, Joined):
        return any(_from_one_place(each, told) for each in source.of)
    mine = source.model_dump(mode="json")
    return mine.get("kind") == told.get("kind") and mine.get("path") == told.get("path")
