"""Image files as a deployed network takes them: upright, with its channels, of a size that it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.deployed import Deployed
from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.media.files import content
from clearsight.data.media.images import decode, opened
from clearsight.data.media.lossless import StoredImage, decode_image
from clearsight.data.media.resize import covering, middle
from clearsight.pipelines.inference.session import sizes
from clearsight.pipelines.inference.tiles import tiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PIXELS = 2**24
"""Most pixels of an image that is computed as a whole: 64 channels take 4 GB per layer for so many."""
GIVE_SIZE = "give --size"
SEVERAL = "only the first of its images is used"


@dataclass(frozen=True)
class Want:
    """How every image is prepared for a deployed file.

    Attributes:
        deployed: the file that it is for.
        keep: whether grey, 16 bits and transparency are kept for the restored image; else all becomes 8-bit
            RGB over white, or grey where the file takes grey.
        size: (height, width) of the centre crop after resizing the image to just cover it; None: as it is.
    """

    deployed: Deployed
    keep: bool
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Arrived:
    """One image that is ready to be computed.

    Attributes:
        name: of its item.
        inputs: one (h, w, c) array, uint8 or uint16, or three of one channel each where a colour image
            meets a file that takes grey.
        image: the decoded image, whose metadata the restored one gets.
        width: of the upright image in the file.
        height: likewise.
        frame: number in a video, from 0.
        notes: remarks for the user.
    """

    name: str
    inputs: tuple[NDArray[Any], ...]
    image: StoredImage
    width: int
    height: int
    frame: int | None = None
    notes: tuple[str, ...] = ()


def wanted(deployed: Deployed, size: int | None) -> Want:
    """Return how images are prepared.

    Classifying files of fixed size get the centre crop of each resized image, as is usual. Files of fixed
    size that only restore take images of exactly that size, unless a size is asked for.

    Raises:
        ConfigError: a size that the file does not take.
    """
    taken = deployed.input
    keep = deployed.output("logits") is None
    if size is None:
        fixed = taken.height is not None and taken.width is not None and not keep
        return Want(deployed, keep, (taken.height or 0, taken.width or 0) if fixed else None)
    if taken.height not in (None, size) or taken.width not in (None, size) or size < taken.minimum:
        raise ConfigError(f"the file takes {sizes(deployed)}, not {size}x{size}", where="--size")
    return Want(deployed, keep, (size, size))


def read(path: Path, name: str, want: Want) -> Arrived:
    """Read one image and make it fit.

    Raises:
        DataError: empty, truncated, damaged, too large, unsupported, or of a size that is not taken.
    """
    return read_bytes(content(path), str(path), name, want)


def read_bytes(data: bytes, where: str, name: str, want: Want) -> Arrived:
    """Read one encoded image and make it fit.

    Args:
        data: the encoded bytes.
        where: what messages call the bytes.
        name: of its item.
        want: how it is prepared.

    Raises:
        DataError: empty, truncated, damaged, too large, unsupported, or of a size that is not taken.
    """
    if want.keep:
        image = decode_image(data, where)
        return arrived(name, replace(image, notes=()), want, SEVERAL if image.notes else "")
    pixels = decode(data, name=where)
    return arrived(name, StoredImage(pixels), want, SEVERAL if _several(data) else "")


def _several(data: bytes) -> bool:
    # A damaged second image does not matter; phones put small previews beside the image (MPO).
    with contextlib.suppress(DataError), opened(data, "") as image:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False


def arrived(name: str, image: StoredImage, want: Want, note: str = "", frame: int | None = None) -> Arrived:
    """Make a decoded image fit.

    Raises:
        DataError: it is of a size that is not taken.
    """
    height, width = image.pixels.shape[:2]
    notes = [note] if note else []
    if want.size is not None and want.size != (height, width):
        alpha = None if image.alpha is None else _fit(image.alpha[:, :, None], *want.size)[:, :, 0]
        image = replace(image, pixels=_fit(image.pixels, *want.size), alpha=alpha)
        notes.append(f"resized, and its middle of {want.size[1]}x{want.size[0]} pixels used")
    _check(image.pixels, want, name)
    inputs = tuple(_inputs(image.pixels, want))
    return Arrived(name, inputs, image, width, height, frame, tuple(notes))


def _check(pixels: NDArray[Any], want: Want, name: str) -> None:
    taken = want.deployed.input
    height, width = pixels.shape[:2]
    fits = taken.height in (None, height) and taken.width in (None, width)
    if not fits or min(height, width) < taken.minimum:
        raise DataError(
            f"has {width}x{height} pixels, the file takes {sizes(want.deployed)}",
            where=name,
            hint=GIVE_SIZE,
        )
    if height * width > MOST_PIXELS and not tiled(want.deployed, height, width):
        raise DataError(
            f"has {width}x{height} pixels, more than {MOST_PIXELS:,} are not computed as a whole",
            where=name,
            hint=GIVE_SIZE,
        )


def _inputs(pixels: NDArray[Any], want: Want) -> Iterator[NDArray[Any]]:
    told, channels = want.deployed.input, pixels.shape[2]
    if pixels.dtype == np.uint16 and told.dtype == "uint8":
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if channels == told.channels:
        yield pixels
    elif channels == 1:
        yield np.repeat(pixels, told.channels, axis=2)
    elif want.keep:
        yield from (np.ascontiguousarray(pixels[:, :, at : at + 1]) for at in range(channels))
    else:
        from PIL import Image

        yield np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


def _fit(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize an image until it just covers a size, and crop the centre, as data sources do."""
    return middle(covering(pixels, height, width), height, width)
