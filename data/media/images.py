"""Encoded images in and out, and the change between stored pixels and network input. No torch here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clearsight.data.contract.errors import DataError, ShapeError, first_line
from clearsight.data.media.deep import FORMAT, WHITE, deep, is_deep_grey, to_8_bits
from clearsight.data.media.plugins import installed_endings, plugin_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

FORMATS: tuple[str, ...] = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
"""Formats that are read. Pillow knows more, some of which start other programs or lack a signature."""
SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "jif", "mpo", "jp2", "bmp", "gif", "avif"),
        *("tif", "tiff", "webp", "ppm", "pgm", "pbm", "pnm"),
    )
)
"""File name endings that are always read, in lower case."""
MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded: a small file can unpack to gigabytes."""
UNREADABLE = {
    "F": "32-bit float images have no fixed range",
    "I": "32-bit integer images have no fixed range",
    "LAB": "CIE Lab images are not supported",
}
SIGNED = 2
"""Value of a TIFF file's SampleFormat that means two's complement."""
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    zlib.error,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
    AssertionError,
    Warning,
)
"""What Pillow's parsers raise on damaged files (``Warning`` where a caller made errors of warnings)."""


def suffixes() -> frozenset[str]:
    """Return the file name endings that folders are searched for; installed plug-ins add theirs."""
    return SUFFIXES | installed_endings()


def decode(data: bytes | Path, *, max_pixels: int = MAX_PIXELS, name: str = "") -> NDArray[np.uint8]:
    """Decode one image.

    EXIF orientation is applied, transparency is composited over white, 16 bits a channel are divided by 257,
    CMYK and palettes are converted, and of an animation the first frame is used.

    Args:
        data: the encoded bytes, or the file.
        max_pixels: refuse images with more pixels than this. Pillow itself refuses more than 179 million.
        name: what to call the image in messages; by default its path.

    Returns:
        uint8 (h, w, 3), RGB, contiguous and owned by the caller.

    Raises:
        DataError: empty, truncated, damaged, too large, or of a format or pixel type that is not supported.
    """
    where = name or (str(data) if isinstance(data, Path) else "")
    if isinstance(data, Path):
        from clearsight.data.media.files import content

        data = content(data)
    with opened(data, where) as image:
        return _pixels(image, data, max_pixels, where)


@contextmanager
def opened(data: bytes, where: str) -> Iterator[Image.Image]:
    """Open an encoded image; whatever goes wrong before it is closed becomes a `DataError`.

    Args:
        data: the encoded bytes.
        where: what to call the image in messages.

    Raises:
        DataError: empty, truncated, damaged, far too large, or of a format that is not supported.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise DataError("is empty", where=where)
    formats = FORMATS
    if plugin := plugin_of(data):
        if not plugin.registered():
            raise DataError(
                f"is a {plugin.format} image, which needs a plug-in",
                where=where,
                hint=f"pip install {plugin.package}, or convert it",
            )
        formats = (plugin.format,)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if SIGNED in getattr(image, "tag_v2", {}).get(FORMAT, ()):
                # Pillow reads signed 8-bit values as unsigned: the dark half would become the bright one.
                raise DataError(
                    "signed integers have no fixed range",
                    where=where,
                    hint="convert it to unsigned 8 or 16 bits a channel",
                )
            yield image
    except UnidentifiedImageError:
        raise DataError(
            "is not an image in a supported format", where=where, hint=f"use one of {', '.join(FORMATS)}"
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"has too many pixels: {error}", where=where) from None
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"is damaged: {reason}", where=where) from None


def _pixels(image: Image.Image, data: bytes, max_pixels: int, where: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    width, height = image.size
    if width * height > max_pixels:
        raise DataError(f"has {width}x{height} pixels, more than the limit of {max_pixels:,}", where=where)
    if image.mode in UNREADABLE and not is_deep_grey(image):
        raise DataError(UNREADABLE[image.mode], where=where, hint="convert it to 8 or 16 bits a channel")
    if (wide := deep(image, data)) is not None:
        return _over_white(*wide)
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"), np.uint8)


def _over_white(pixels: NDArray[np.uint16], alpha: NDArray[np.uint16] | None) -> NDArray[np.uint8]:
    """Return 16-bit pixels over white as uint8 (h, w, 3)."""
    if alpha is not None:
        share = alpha[:, :, None] / WHITE
        pixels = np.rint(pixels * share + WHITE * (1 - share)).astype(np.uint16)
    return np.repeat(to_8_bits(pixels), 3 // pixels.shape[2], axis=2)


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 (h, w, 3 or 1) as a PNG file, without loss.

    Raises:
        ShapeError: another type or shape.
    """
    return _encode(image, "PNG", compress_level=6)


def encode_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return uint8 (h, w, 3 or 1) as a JPEG file with 4:2:0 chroma.

    Args:
        image: the pixels.
        quality: 1 to 100, libjpeg's scale.

    Raises:
        ShapeError: another type or shape, or a side that is too long for JPEG.
        ValueError: a quality outside 1 to 100.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality is 1 to 100, not {quality}")
    return _encode(image, "JPEG", quality=quality, subsampling="4:2:0")


def _encode(image: NDArray[np.uint8], kind: str, **options: int | str) -> bytes:
    from PIL import Image

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ShapeError(
            f"expects uint8 (h, w, 3 or 1), got {image.dtype} {image.shape}", where=f"encode {kind}"
        )
    pixels = image[:, :, 0] if image.shape[2] == 1 else image
    out = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(out, format=kind, **options)
    except DAMAGE as error:
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise ShapeError(f"{size} pixels cannot be stored as {kind}: {first_line(error)}") from None
    return out.getvalue()


def to_float(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return uint8 (n, h, w, c) as float32 (n, c, h, w) in [0, 1].

    Raises:
        ShapeError: another type or rank.
    """
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ShapeError(f"expects uint8 (n, h, w, c), got {images.dtype} {images.shape}", where="to_float")
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return planes.astype(np.float32) / np.float32(255)


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return float (n, c, h, w) as uint8 (n, h, w, c): clipped to [0, 1] and rounded to the nearest level.

    `to_uint8(to_float(x))` is ``x`` exactly.

    Raises:
        ShapeError: another type or rank.
        DataError: values that are not numbers.
    """
    if not np.issubdtype(images.dtype, np.floating) or images.ndim != 4:
        raise ShapeError(f"expects float (n, c, h, w), got {images.dtype} {images.shape}", where="to_uint8")
    if np.isnan(images).any():
        raise DataError("the images hold values that are not numbers", where="to_uint8")
    levels = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))
