"""Noisy images of three colours in class folders: what the toy classifier of `pipelines/toy.py` can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from clearsight.data.contract.rng import Rng


def write_images(
    folder: Path,
    count: int,
    size: tuple[int, int],
    classes: Sequence[str] = ("class0", "class1", "class2"),
    digits: int = 1,
) -> Path:
    """Write images in which channel ``i % 3`` is the brightest; return their folder.

    Args:
        folder: gets one folder a class.
        count: number of images.
        size: height and width.
        classes: folder of the images that are red, green and blue.
        digits: of the number that is the file's name.
    """
    for i in range(count):
        noise = Rng(7).at("image", i).numpy().integers(0, 120, (*size, 3))
        noise[:, :, i % 3] += 25
        place = folder / classes[i % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.astype(np.uint8)).save(place / f"{i:0{digits}d}.png")
    return folder
