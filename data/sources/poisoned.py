"""A source of which an attacker has changed some images: for training on, and for calling the backdoor up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.catalogue import POISONS
from clearsight.data.contract.errors import ConfigError, DataError, ShapeError, near_miss
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Number, kind_of
from clearsight.data.poisons.base import Poison
from clearsight.data.sources.around import Around
from clearsight.data.sources.base import Entry, Index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BAD, GOOD = "poisoned", "clean"


class Poisoned(Around):
    """The images of another source, some of them poisoned.

    ``use: train``: a share of the images, drawn by ``seed``, carries the trigger and the target's label; the
    others stay as they are. With ``clean_label`` they are drawn from the target's own images, whose labels
    stay right. ``use: attack``: every image that is not of the target class carries the trigger and the
    target's label, so that a classifier's accuracy on them is the attack's success.

    Ids are those of the source. What is poisoned is known (`bad`), so a filter can be judged.
    """

    kind: Literal["poisoned"] = "poisoned"
    purpose: ClassVar[str] = "another source with some of its images poisoned"

    poison: Annotated[Poison, Choice(POISONS)]
    """What is done to the images."""
    target: int | str | None = None
    """Class, by number or name, that the poisoned images shall be taken for; a poison without a trigger may
    leave it out: then every label becomes another one, drawn for it."""
    share: Annotated[Number, Field(gt=0, le=1)] = 0.05
    """Poisoned part of all images, for ``use: train``."""
    clean_label: bool = False
    """Only images of the target class are poisoned, and no label is wrong."""
    use: Literal["train", "attack"] = "train"
    """What the images are for."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides which images are poisoned."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        name = kind_of(self.poison)
        if self.poison.triggered and self.target is None:
            raise ValueError(f"target: '{name}' needs the class that the trigger shall call up")
        if not self.poison.triggered and (self.clean_label or self.use == "attack"):
            raise ValueError(f"poison: '{name}' has no trigger, so there is nothing to call up")
        return self

    def scan(self) -> Index:
        """List the images with the labels that the attacker gives them.

        Raises:
            DataError: images without labels, or too few to poison.
            ConfigError: no such class.
        """
        index = self.of.index()
        if any(entry.truth is None for entry in index.entries):
            raise DataError("images without labels cannot be poisoned", where="source poisoned")
        target = self._target(index.classes)
        others = [entry for entry in index.entries if entry.truth != target]
        if self.use == "attack":
            return replace(index, entries=tuple(_marked(entry, BAD, target) for entry in others))
        own = [entry for entry in index.entries if entry.truth == target]
        candidates = own if self.clean_label else others
        count = round(self.share * len(index.entries))
        if not 1 <= count <= len(candidates):
            raise DataError(
                f"{count} of its {len(index.entries)} images would be poisoned, {len(candidates)} can be",
                where="source poisoned",
                hint="another 'share'",
            )
        rng = Rng(self.seed).at("poison")
        drawn = sorted(candidates, key=lambda entry: rng.at(entry.id).integer())[:count]
        wrong = {entry.id: self._label(entry, target, len(index.classes), rng) for entry in drawn}
        entries = tuple(
            _marked(entry, BAD, wrong[entry.id]) if entry.id in wrong else _marked(entry, GOOD, entry.truth)
            for entry in index.entries
        )
        return replace(index, entries=entries)

    def bad(self) -> frozenset[str]:
        """Return the ids of the poisoned images."""
        return frozenset(entry.id for entry in self.index().entries if _split(entry)[0] == BAD)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one image, and put the trigger on it where it is poisoned: after the source's resizing."""
        mark, own = _split(entry)
        image = super().load(own)
        if mark == GOOD:
            return image
        try:
            return self.poison(image)
        except ShapeError as error:
            raise DataError(error.what, where=error.where, hint=error.hint) from None

    def content(self, entry: Entry) -> bytes:
        """Return the encoded bytes of one image, and the poison where it is poisoned."""
        mark, own = _split(entry)
        content = super().content(own)
        if mark == GOOD:
            return content
        return content + json.dumps(self.poison.identity(), sort_keys=True, allow_nan=False).encode()

    def _target(self, classes: tuple[str, ...]) -> int | None:
        if self.target is None:
            return None
        if isinstance(self.target, str):
            if self.target not in classes:
                raise ConfigError(
                    f"no class '{self.target}'", where="target", hint=near_miss(self.target, classes)
                )
            return classes.index(self.target)
        if not 0 <= self.target < len(classes):
            raise ConfigError(f"no class {self.target}: there are {len(classes)}", where="target")
        return self.target

    def _label(self, entry: Entry, target: int | None, classes: int, rng: Rng) -> Any:
        if target is not None:
            return target
        step = 1 + int(rng.at("label", entry.id).numpy().integers(classes - 1))
        return (int(entry.truth or 0) + step) % classes


def _marked(entry: Entry, mark: str, label: int | None) -> Entry:
    return replace(entry, place=f"{mark}:{entry.place}", truth=label)


def _split(entry: Entry) -> tuple[str, Entry]:
    """Return whether an entry is poisoned, and the entry as its own source knows it."""
    mark, _, place = str(entry.place).partition(":")
    return mark, replace(entry, place=place)
