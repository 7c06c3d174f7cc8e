"""Blocks of pictures through a session: equal sizes together, large ones in tiles, failures by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import ClearsightError, RunError
from clearsight.pipelines.inference.inputs import Arrived
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.inference.tiles import in_tiles, tiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEEPEST = 65_535


@dataclass
class Computed:
    """What came out for one picture.

    Attributes:
        ranked: classes and probabilities, the likeliest first.
        image: the restored picture (h, w, c), uint8 or uint16, of the first output that gives one.
        error: why there is neither.
    """

    ranked: tuple[tuple[str, float], ...] = ()
    image: NDArray[Any] | None = None
    error: ClearsightError | None = None


class Computer:
    """Computes what of a session's outputs is asked for."""

    def __init__(self, session: Session, *, top: int, batch: int | None, images: bool) -> None:
        """Keep the wishes.

        Args:
            session: the deployed file.
            top: classes a picture.
            batch: most pictures a call; None: by their size.
            images: whether restored pictures are asked for.
        """
        self.session, self.top, self.batch = session, top, batch
        self.logits = session.deployed.output("logits")
        self.image = session.deployed.output("image") if images else None

    def __call__(self, block: Sequence[Arrived]) -> list[Computed]:
        """Return what came out, in the order of the pictures."""
        groups: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
        for at, picture in enumerate(block):
            for part, pixels in enumerate(picture.inputs):
                groups[(pixels.shape, pixels.dtype)].append((at, part))
        done: dict[tuple[int, int], Computed] = {}
        for places in groups.values():
            inputs = [block[at].inputs[part] for at, part in places]
            done |= zip(places, self._group(inputs), strict=True)
        return [
            self._merged([done[at, part] for part in range(len(each.inputs))], each)
            for at, each in enumerate(block)
        ]

    def _group(self, pictures: list[NDArray[Any]]) -> list[Computed]:
        """Compute pictures of one size and type."""
        height, width = pictures[0].shape[:2]
        if tiled(self.session.deployed, height, width):
            return [self._tiled(picture) for picture in pictures]
        most = self.session.deployed.input.batch or self.batch or self.session.batch(height, width)
        found: list[Computed] = []
        for start in range(0, len(pictures), most):
            found += self._batch(pictures[start : start + most])
        return found

    def _batch(self, pictures: list[NDArray[Any]]) -> list[Computed]:
        try:
            return self._outputs(pictures)
        except ClearsightError as error:
            if len(pictures) == 1:
                return [Computed(error=error)]
        # One picture may spoil the others, or they do not fit into the memory together.
        return [computed for picture in pictures for computed in self._batch([picture])]

    def _outputs(self, pictures: list[NDArray[Any]]) -> list[Computed]:
        given = _given(pictures)
        found = self.session.run(given, len(pictures))
        done = [Computed() for _ in pictures]
        if self.logits is not None:
            ranked = self.session.predictions(found[self.logits.name]).top(self.top)
            for each, classes in zip(done, ranked, strict=True):
                each.ranked = tuple(classes)
        if self.image is not None:
            images = _pixels(self.session.as_given(found[self.image.name], given))
            for each, image in zip(done, images, strict=True):
                each.image = image
        return done

    def _tiled(self, picture: NDArray[Any]) -> Computed:
        def window(pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
            given = _given([pixels])
            found = self.session.run(given)
            return {name: _pixels(self.session.as_given(found[name], given))[0] for name in found}

        try:
            found = in_tiles(window, self.session.deployed, picture)
            return Computed(image=None if self.image is None else found[self.image.name])
        except ClearsightError as error:
            return Computed(error=error)

    def _merged(self, parts: list[Computed], given: Arrived) -> Computed:
        """Put the channels of a picture together again as they were."""
        errors = [part.error for part in parts if part.error is not None]
        if errors:
            return Computed(error=errors[0])
        image = parts[0].image
        if image is None:
            return parts[0]
        if len(parts) > 1:
            image = np.concatenate([part.image for part in parts if part.image is not None], axis=2)
        elif given.picture.pixels.shape[2] == 1 and image.shape[2] > 1:
            image = np.rint(image.mean(axis=2, keepdims=True)).astype(image.dtype)
        return Computed(parts[0].ranked, image)


def _given(pictures: list[NDArray[Any]]) -> NDArray[Any]:
    stacked = np.stack(pictures)
    if stacked.dtype == np.uint16:
        return stacked.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(DEEPEST)
    return stacked


def _pixels(images: NDArray[Any]) -> NDArray[Any]:
    """Return pictures as integers: 8 bits stay, floats (from 16 bits) become 16 bits."""
    if images.dtype == np.uint8:
        return images
    if np.isnan(images).any():
        raise RunError("the restored picture holds values that are not numbers")
    deep: NDArray[np.uint16] = np.rint(images.clip(0, 1) * DEEPEST).astype(np.uint16)
    return deep.transpose(0, 2, 3, 1)
