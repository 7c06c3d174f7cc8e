"""A synthetic set of road signs: drawn by this package, in any number, without any download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEED = 0
"""Seed of every scene: the set is a fixed one, of which ``count`` says how much is used."""


CLASSES = (
    "stop",
    "yield",
    "no_entry",
    "speed_30",
    "speed_50",
    "speed_80",
    "no_vehicles",
    "no_passing",
    "priority_road",
    "pedestrian_crossing",
    "parking",
    "turn_left",
    "turn_right",
    "straight_ahead",
    "roundabout",
    "danger",
    "crossroads",
)
"""The classes in the order of the labels: the keys of `FACES` in `signs.faces`, which loads OpenCV."""


class Signs(Source):
    """Synthetic road signs in 17 classes, drawn over photographs in varied light and occlusion.

    Image number i is the same whatever ``count`` is; ``train`` and ``test`` share no scene and no
    background photograph. Figures measured on it are figures on drawings, not on real road signs.
    """

    kind: Literal["signs"] = "signs"
    purpose: ClassVar[str] = "synthetic road signs, 17 classes, drawn on the fly, always there"
    revision: ClassVar[int] = 1

    split: Literal["train", "test"] = "test"
    """Which of the two parts."""
    count: Annotated[int, Field(ge=1, le=999_999)] = 1000
    """How many images; the classes take turns."""
    pixels: Annotated[int, Field(ge=16, le=1024)] = 64
    """Side that the scenes are drawn at, in pixels."""

    @property
    def synthetic(self) -> str:
        """Return that the images are drawn."""
        return "synthetic"

    @property
    def everywhere(self) -> bool:
        """Return True: every machine can make them."""
        return True

    def scan(self) -> Index:
        """List the images; nothing is drawn."""
        names = [f"signs/{self.split}/{number:06d}" for number in range(self.count)]
        entries = tuple(Entry(name, number % len(CLASSES), name, number) for number, name in enumerate(names))
        return Index(entries, CLASSES)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Draw one image."""
        from clearsight.data.contract.rng import Rng
        from clearsight.data.signs.scene import render

        number = int(entry.place)
        name = CLASSES[number % len(CLASSES)]
        stream = Rng(SEED).at("signs", self.split, number)
        return render(name, self.split, self.pixels, stream.numpy())

    def content(self, entry: Entry) -> bytes:
        """Return what the drawing depends on: revision, resolution, scene and the libraries that draw.

        Drawing every image for its key alone would take minutes on a large set.
        """
        import cv2
        import numpy as np

        facts = (self.revision, self.pixels, self.split, entry.place, cv2.__version__, np.__version__)
        return "/".join(map(str, facts)).encode()
