"""Puts blocks of images through a session: equal sizes in batches, large images in tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import ClearsightError, RunError
from clearsight.pipelines.inference.beside import NOTHING, Beside, beside_of
from clearsight.pipelines.inference.inputs import Arrived
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.inference.tiles import in_tiles, seams, tiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEEPEST = 65_535


@dataclass
class Computed:
    """Result for one image.

    Attributes:
        ranked: classes and probabilities, the likeliest first.
        image: the restored image (h, w, c), uint8 or uint16, of the first output that gives one.
        error: why the image has no result.
        beside: what the file says beside the classes.
    """

    ranked: tuple[tuple[str, float], ...] = ()
    image: NDArray[Any] | None = None
    error: ClearsightError | None = None
    beside: Beside = NOTHING


class Computer:
    """Computes those outputs of a session that are asked for."""

    def __init__(self, session: Session, *, top: int, batch: int | None, images: bool) -> None:
        """Keep what is asked for.

        Args:
            session: the deployed file.
            top: classes per image.
            batch: most images per call; None: by their size.
            images: whether restored images are asked for.
        """
        self.session, self.top, self.batch = session, top, batch
        self.logits = session.deployed.output("logits")
        self.image = session.deployed.output("image") if images else None
        self.seamless = False

    def __call__(self, block: Sequence[Arrived]) -> list[Computed]:
        """Return the results in the order of the images."""
        groups: dict[tuple[object, ...], list[tuple[int, int]]] = defaultdict(list)
        for at, image in enumerate(block):
            for part, pixels in enumerate(image.inputs):
                groups[(pixels.shape, pixels.dtype)].append((at, part))
        done: dict[tuple[int, int], Computed] = {}
        for places in groups.values():
            inputs = [block[at].inputs[part] for at, part in places]
            done |= zip(places, self._group(inputs), strict=True)
        return [
            self._merged([done[at, part] for part in range(len(each.inputs))], each)
            for at, each in enumerate(block)
        ]

    def _group(self, images: list[NDArray[Any]]) -> list[Computed]:
        """Compute images of one size and type."""
        height, width = images[0].shape[:2]
        if tiled(self.session.deployed, height, width):
            return [self._tiled(image) for image in images]
        most = self.session.deployed.input.batch or self.batch or self.session.batch(height, width)
        results: list[Computed] = []
        for start in range(0, len(images), most):
            results += self._batch(images[start : start + most])
        return results

    def _batch(self, images: list[NDArray[Any]]) -> list[Computed]:
        try:
            return self._outputs(images)
        except ClearsightError as error:
            if len(images) == 1:
                return [Computed(error=error)]
        # One bad image fails the whole batch, or the batch does not fit into memory.
        return [computed for image in images for computed in self._batch([image])]

    def _outputs(self, images: list[NDArray[Any]]) -> list[Computed]:
        given = _given(images)
        outputs = self.session.run(given, len(images))
        done = [Computed() for _ in images]
        if self.logits is not None:
            ranked = self.session.predictions(outputs[self.logits.name]).top(self.top)
            said = beside_of(self.session.deployed, outputs, len(images))
            for result, classes, beside in zip(done, ranked, said, strict=True):
                result.ranked, result.beside = tuple(classes), beside
        if self.image is not None:
            restored = _pixels(self.session.as_given(outputs[self.image.name], given))
            for result, pixels in zip(done, restored, strict=True):
                result.image = pixels
        return done

    def _tiled(self, image: NDArray[Any]) -> Computed:
        def window(pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
            given = _given([pixels])
            outputs = self.session.run(given)
            return {name: _pixels(self.session.as_given(outputs[name], given))[0] for name in outputs}

        try:
            if not self.seamless:
                if name := seams(window, self.session.deployed, image):
                    raise RunError(
                        f"its description is wrong: a tile of output '{name}' does not equal the whole",
                        where=str(self.session.path),
                        hint="export it again",
                    )
                self.seamless = True
            outputs = in_tiles(window, self.session.deployed, image)
            return Computed(image=None if self.image is None else outputs[self.image.name])
        except ClearsightError as error:
            return Computed(error=error)

    def _merged(self, parts: list[Computed], arrived: Arrived) -> Computed:
        """Merge the results for the parts of an image, and give the result the channels of the original."""
        errors = [part.error for part in parts if part.error is not None]
        if errors:
            return Computed(error=errors[0])
        image = parts[0].image
        if image is None:
            return parts[0]
        if len(parts) > 1:
            image = np.concatenate([part.image for part in parts if part.image is not None], axis=2)
        elif arrived.image.pixels.shape[2] == 1 and image.shape[2] > 1:
            image = np.rint(image.mean(axis=2, keepdims=True)).astype(image.dtype)
        return Computed(parts[0].ranked, image, beside=parts[0].beside)


def _given(images: list[NDArray[Any]]) -> NDArray[Any]:
    stacked = np.stack(images)
    if stacked.dtype == np.uint16:
        return stacked.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(DEEPEST)
    return stacked


def _pixels(images: NDArray[Any]) -> NDArray[Any]:
    """Return images as integers: 8 bits stay, floats (from 16 bits) become 16 bits."""
    if images.dtype == np.uint8:
        return images
    deep: NDArray[np.uint16] = np.rint(images.clip(0, 1) * DEEPEST).astype(np.uint16)
    return deep.transpose(0, 2, 3, 1)
