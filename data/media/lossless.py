"""Image files in and out, with their transparency, depth, orientation and colour profile."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import DataError, first_line
from clearsight.data.media.deep import deep, depth, encode_deep, is_deep_grey, to_8_bits
from clearsight.data.media.files import content
from clearsight.data.media.images import DAMAGE, MAX_PIXELS, UNREADABLE, opened
from clearsight.data.media.plugins import HEIC, JXL
from clearsight.data.media.png import encode_png_fast, fast, with_facts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".jif": "JPEG",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".jp2": "JPEG2000",
}
"""Format that is written for each ending; all but JPEG without loss."""
REPLACED = {
    **dict.fromkeys((".gif", ".avif", ".pbm", *HEIC.endings, *JXL.endings), ".png"),
    ".mpo": ".jpg",
}
"""Endings whose formats hold too few colours or several images, and what is written instead."""
QUALITY = 95
"""Quality of JPEG files, written with full chroma."""
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": QUALITY, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "WEBP": {"lossless": True, "exact": True},
}
DEEP = {"PNG": "I;16", "TIFF": "I;16", "PPM": "I", "JPEG2000": "I;16"}
"""Formats that hold 16 bits a pixel in grey, and Pillow's mode for them."""
DEEP_COLOUR = ("PNG", "TIFF", "PPM")
"""Formats that hold 16 bits a channel in colour."""
LONGEST = {"WEBP": 16_383, "JPEG": 65_500}
"""Longest side in pixels, of formats that limit it."""
TRANSPARENT = ("PNG", "TIFF", "WEBP", "JPEG2000")
KEEPS_EXIF = ("PNG", "JPEG", "MPO", "WEBP")
ORIENTATION, EXIF_FIELDS, EXIF_WIDTH, EXIF_HEIGHT = 0x0112, 0x8769, 0xA002, 0xA003
LONGEST_EXIF = 65_533
"""Bytes of EXIF data that a JPEG file can hold."""


@dataclass(frozen=True)
class StoredImage:
    """Pixels and metadata of a file.

    Attributes:
        pixels: uint8 or uint16 (h, w, 3 or 1); upright.
        alpha: (h, w) of the same type, or None where the image is opaque.
        exif: fields of the camera, or None.
        saved: options for Pillow's ``save``: ``icc_profile``, ``dpi``.
        notes: what could not be kept.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    exif: Image.Exif | None = None
    saved: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_image(path: Path) -> StoredImage:
    """Read one image: grey stays grey, 16 bits a channel stay 16, transparency is kept apart.

    Of an animation or a file with several pages the first image is read, with a note.

    Raises:
        DataError: empty, truncated, damaged, too large, or an unsupported format or depth.
    """
    return decode_image(content(path), str(path))


def decode_image(data: bytes, where: str) -> StoredImage:
    """Do what `read_image` does with an encoded image that messages call ``where``.

    Raises:
        DataError: likewise.
    """
    with opened(data, where) as image:
        return _read(image, data, where)


def _read(image: Image.Image, data: bytes, where: str) -> StoredImage:
    from PIL import ImageOps

    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"has {width}x{height} pixels, more than the limit of {MAX_PIXELS:,}", where=where)
    form = image.format or ""
    unreadable = "" if is_deep_grey(image) else UNREADABLE.get(image.mode, "")
    wide = None if unreadable else deep(image, data)
    if wide is None and not unreadable and depth(image, data) > 8:
        unreadable = f"{form} files of this kind are read with 8 bits a channel only"
    if unreadable:
        hint = "convert it to 8 bits a channel, or to a 16-bit PNG file"
        raise DataError(unreadable, where=where, hint=hint)
    several = bool(getattr(image, "is_animated", False))
    image.load()
    saved = {name: image.info[name] for name in ("icc_profile", "dpi") if image.info.get(name)}
    image = ImageOps.exif_transpose(image)
    exif = image.getexif() if form in KEEPS_EXIF else None
    notes = ("only the first of its images is restored",) if several else ()
    pixels, alpha = wide if wide is not None else _planes(image)
    return StoredImage(pixels, alpha, exif, saved, notes)


def _planes(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    grey = image.mode in ("1", "L", "LA")
    if not image.has_transparency_data:
        plain = np.array(image.convert("L" if grey else "RGB"), np.uint8)
        return (plain[:, :, None] if grey else plain), None
    layers = np.array(image.convert("LA" if grey else "RGBA"), np.uint8)
    return np.ascontiguousarray(layers[:, :, :-1]), np.ascontiguousarray(layers[:, :, -1])


def restored(image: StoredImage, pixels: NDArray[Any]) -> StoredImage:
    """Return an image with new pixels (h, w, c); its transparency is brought to their size."""
    alpha = image.alpha
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        import cv2

        size = (pixels.shape[1], pixels.shape[0])
        alpha = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_CUBIC))
    return replace(image, pixels=pixels, alpha=alpha)


def check_ending(path: Path) -> None:
    """Refuse endings of images that are not written.

    Raises:
        DataError: no format has it.
    """
    if path.suffix.lower() not in WRITTEN:
        raise DataError(
            f"images are not written as '{path.suffix}'",
            where=str(path),
            hint=f"use one of {', '.join(sorted(WRITTEN))}",
        )


def encode(image: StoredImage, path: Path) -> tuple[bytes, tuple[str, ...]]:
    """Return the file that ``path`` is to hold, in the format of its ending, and what could not be kept.

    Raises:
        DataError: the format cannot hold the image's size, depth or transparency.
    """
    check_ending(path)
    form = WRITTEN[path.suffix.lower()]
    wide = image.pixels.dtype == np.uint16
    holding = DEEP if image.pixels.shape[2] == 1 and image.alpha is None else DEEP_COLOUR
    lack = "16 bits a channel" if wide and form not in holding else ""
    lack = "transparency" if image.alpha is not None and form not in TRANSPARENT else lack
    if lack:
        raise DataError(f"{form} files cannot hold {lack}", where=str(path), hint="write PNG files")
    grey = image.pixels.shape[2] == 1
    layers = image.pixels
    if image.alpha is not None:
        layers = np.concatenate([layers, _as_deep_as(image.pixels, image.alpha)[:, :, None]], axis=2)
    options = dict(OPTIONS.get(form, {})) | image.saved
    profile = options.get("icc_profile", b"")
    space = b"GRAY" if grey and form != "WEBP" else b"RGB "
    notes = list(image.notes)
    if profile and profile[16:20] != space:
        del options["icc_profile"]
        notes.append("its colour profile suits the stored colours only and is left out")
    exif = _exif(image, form, notes)
    if exif:
        options["exif"] = exif
    if wide and layers.shape[2] > 1:
        return encode_deep(layers, form, options, exif), tuple(notes)
    try:
        return _file(layers, form, options), tuple(notes)
    except DAMAGE as error:
        size, longest = f"{layers.shape[1]}x{layers.shape[0]}", LONGEST.get(form)
        reason = f"sides have {longest} pixels at most" if longest else first_line(error)
        raise DataError(
            f"{size} pixels cannot be stored as {form}: {reason}", where=str(path), hint="write PNG files"
        ) from None


def _file(layers: NDArray[Any], form: str, options: dict[str, Any]) -> bytes:
    """Return the file of uint8 layers, or of one layer of uint16."""
    from PIL import Image

    if form == "PNG" and fast(layers):
        file = encode_png_fast(layers)
        return with_facts(file, {1: "L", 3: "RGB", 4: "RGBA"}[layers.shape[2]], options) if options else file
    wide = layers.dtype == np.uint16
    layers = np.ascontiguousarray(layers[:, :, 0] if layers.shape[2] == 1 else layers)
    # To write deep Netpbm files Pillow wants 32-bit pixels.
    pillow = Image.fromarray(layers.astype(np.int32) if wide and DEEP[form] == "I" else layers)
    out = io.BytesIO()
    pillow.save(out, format=form, **options)
    return out.getvalue()


def _as_deep_as(pixels: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return the transparency in the type of the pixels: restoring may change the depth of the pixels."""
    if alpha.dtype == pixels.dtype:
        return alpha
    return to_8_bits(alpha) if pixels.dtype == np.uint8 else alpha.astype(np.uint16) * np.uint16(257)


def _exif(image: StoredImage, form: str, notes: list[str]) -> bytes:
    """Return the camera's fields for an upright image of the present size."""
    if not image.exif or form not in KEEPS_EXIF:
        return b""
    try:
        fields = image.exif.get_ifd(EXIF_FIELDS)
        size = (image.pixels.shape[1], image.pixels.shape[0])
        for tag, length in zip((EXIF_WIDTH, EXIF_HEIGHT), size, strict=True):
            if tag in fields:
                fields[tag] = length
        image.exif[ORIENTATION] = 1
        told = image.exif.tobytes()
    except DAMAGE:
        notes.append("its EXIF fields are damaged and left out")
        return b""
    if form == "JPEG" and len(told) > LONGEST_EXIF:
        notes.append("its EXIF fields are too long for a JPEG file and left out")
        return b""
    return told
