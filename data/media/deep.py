"""Images of more than 8 bits a channel, in and out without loss.

Pillow reads and writes them in grey only: it silently reduces colour to 8 bits, reads 16-bit TIFF files whose
0 is white as negatives, and 12 bits as if they were 16. So OpenCV decodes the colour ones (tifffile those
with separate planes), and this module encodes what is written.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from clearsight.data.contract.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Deep = NDArray[np.uint16]

WHITE = 65_535
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
BITS, PHOTOMETRIC, PLANES, EXTRA, FORMAT, ORIENTATION = 258, 262, 284, 338, 339, 274
"""TIFF tags; the orientation has the same number in EXIF."""
WHITE_IS_ZERO, RGB, APART, ASSOCIATED, UNASSOCIATED, UNSIGNED = 0, 2, 2, 1, 2, 1
"""Values of these tags."""


def is_deep_grey(image: Image.Image) -> bool:
    """Return whether Pillow keeps more than 8 bits of the image, as it does of grey ones alone."""
    # It scales deep PGM files to 0 to 65535 and calls them 32-bit.
    return image.mode in SIXTEEN_BIT or (image.mode == "I" and image.format in ("PPM", "PNG"))


def depth(image: Image.Image, data: bytes) -> int:
    """Return the bits per channel in the file.

    Args:
        image: as Pillow opened it, not yet loaded.
        data: the encoded bytes.
    """
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(BITS, (8,))))
    if image.format == "PPM":
        return 16 if _largest(image) > 255 else 8
    if image.format == "JPEG2000":
        start = data.find(b"\xff\x4f\xff\x51")
        return (data[start + 42] & 0x7F) + 1
    if image.format == "AVIF" and (start := data.find(b"av1C")) >= 0:
        # AV1 in ISOBMFF, 2.3.3: the third byte of the box holds high_bitdepth and twelve_bit.
        bits = data[start + 6]
        return 8 if not bits & 0x40 else 12 if bits & 0x20 else 10
    if image.format == "HEIF" and (start := data.find(b"hvcC")) >= 0:
        # ISO/IEC 14496-15, 8.3.3: the eighteenth byte of the box holds bit_depth_luma_minus8.
        return (data[start + 21] & 7) + 8
    return 8


def _largest(image: Image.Image) -> int:
    """Return the value of white in a Netpbm file."""
    # The decoder's arguments are (mode, largest value) where that is not 255.
    options = getattr(image, "tile")[0][3]  # noqa: B009
    return int(options[-1]) if isinstance(options, tuple) else 255


def deep(image: Image.Image, data: bytes) -> tuple[Deep, Deep | None] | None:
    """Return pixels (h, w, 1 or 3) and transparency (h, w) in 16 bits, upright.

    Colours that are premultiplied are divided by their transparency.

    Args:
        image: as Pillow opened it, not yet loaded.
        data: the encoded bytes.

    Returns:
        None where the image has 8 bits a channel, or is one that Pillow alone reads (in 8 bits).

    Raises:
        DataError: separate planes in an unsupported compression, or damage that OpenCV finds.
    """
    if is_deep_grey(image):
        pixels, alpha = _grey(image, data)
    elif depth(image, data) <= 8:
        return None
    elif image.format == "PNG":
        pixels, alpha = _split(_by_opencv(image, data))
        if data[25] in (0, 4):
            # Grey with transparency, which OpenCV repeats to three channels.
            pixels = pixels[:, :, :1]
    elif image.format == "PPM":
        raw = _by_opencv(image, data).astype(np.float64)
        pixels, alpha = np.rint(raw * (WHITE / _largest(image))).astype(np.uint16), None
    elif image.format == "TIFF" and _plain_rgb(image):
        pixels, alpha = _tiff(image, data)
    else:
        return None
    # Pillow and OpenCV turn TIFF files themselves, and tell their size as it is then.
    turn = 1 if image.format == "TIFF" else int(image.getexif().get(ORIENTATION, 1))
    return upright(pixels, turn), None if alpha is None else upright(alpha, turn)


def _grey(image: Image.Image, data: bytes) -> tuple[Deep, Deep | None]:
    bits = depth(image, data)
    tags = getattr(image, "tag_v2", {})
    image.load()
    values = np.clip(np.asarray(image, np.int64), 0, WHITE)
    key = image.info.get("transparency")
    alpha = np.where(values == key, 0, WHITE).astype(np.uint16) if isinstance(key, int) else None
    if image.format == "TIFF" and bits < 16:
        values = np.rint(values * (WHITE / (2**bits - 1))).clip(0, WHITE).astype(np.int64)
    if image.format == "TIFF" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = WHITE - values
    return values.astype(np.uint16)[:, :, None], alpha


def _by_opencv(image: Image.Image, data: bytes) -> NDArray[Any]:
    """Return the channels as the file stores them, red first."""
    import cv2

    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.shape[:2] != (image.height, image.width):
        raise DataError("its 16-bit channels cannot be decoded", hint="convert it to a 16-bit PNG file")
    order = [2, 1, 0, 3][: decoded.shape[2]] if decoded.ndim == 3 else None
    return decoded[:, :, None] if order is None else np.ascontiguousarray(decoded[:, :, order])


def _split(layers: NDArray[Any]) -> tuple[Deep, Deep | None]:
    if layers.shape[2] in (1, 3):
        return layers, None
    return np.ascontiguousarray(layers[:, :, :-1]), np.ascontiguousarray(layers[:, :, -1])


def _plain_rgb(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    sixteen = set(tags.get(BITS, ())) == {16} and set(tags.get(FORMAT, (UNSIGNED,))) == {UNSIGNED}
    return sixteen and tags.get(PHOTOMETRIC) == RGB


def _tiff(image: Image.Image, data: bytes) -> tuple[Deep, Deep | None]:
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANES, 1) == APART:
        layers = upright(_planes(data), int(tags.get(ORIENTATION, 1)))
    else:
        layers = _by_opencv(image, data)
    extra = tuple(tags.get(EXTRA, ()))
    pixels = np.ascontiguousarray(layers[:, :, :3])
    if layers.shape[2] < 4 or extra[:1] not in ((ASSOCIATED,), (UNASSOCIATED,)):
        return pixels, None
    alpha = np.ascontiguousarray(layers[:, :, 3])
    if extra[0] == ASSOCIATED:
        whole = pixels * (WHITE / np.maximum(alpha, 1)[:, :, None])
        pixels = np.rint(whole).clip(0, WHITE).astype(np.uint16)
    return pixels, alpha


def _planes(data: bytes) -> NDArray[Any]:
    """Return the channels of a TIFF file that stores one after the other."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            found = np.asarray(file.pages.first.asarray())
    except KeyError:
        # What tifffile says where it lacks a codec.
        raise DataError(
            "its planes are stored separately, in a compression that is not supported",
            hint="store it interleaved, or without compression",
        ) from None
    return np.ascontiguousarray(np.moveaxis(found, 0, -1).astype(np.uint16, copy=False))


def upright(layers: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an image (h, w, ...) turned and mirrored as its EXIF orientation (1 to 8) asks."""
    if orientation in (5, 6, 7, 8):
        layers = layers.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        layers = layers[::-1]
    if orientation in (2, 3, 6, 7):
        layers = layers[:, ::-1]
    return np.ascontiguousarray(layers)


def to_8_bits(values: Deep) -> NDArray[np.uint8]:
    """Return 16-bit values in 8 bits, rounded to the nearest level."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def encode_deep(layers: Deep, form: str, saved: dict[str, Any], exif: bytes) -> bytes:
    """Return a file of 16 bits a channel.

    Args:
        layers: (h, w, c), c = 1 or 3, or with the transparency behind 2 or 4.
        form: ``PNG``, ``TIFF`` or ``PPM`` (without transparency).
        saved: ``icc_profile`` and ``dpi``, where there are any.
        exif: fields of the camera as Pillow encodes them, for PNG; may be empty.
    """
    if form == "PPM":
        head = f"P{6 if layers.shape[2] == 3 else 5}\n{layers.shape[1]} {layers.shape[0]}\n{WHITE}\n"
        return head.encode() + layers.astype(">u2").tobytes()
    return _png(layers, saved, exif) if form == "PNG" else _tiff_file(layers, saved)


def _png(layers: Deep, saved: dict[str, Any], exif: bytes) -> bytes:
    height, width, channels = layers.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = np.ascontiguousarray(layers.astype(">u2")).view(np.uint8).reshape(height, -1)
    # Each row but the first is stored as its difference from the one above (filter 2).
    lines = np.empty((height, rows.shape[1] + 1), np.uint8)
    lines[:, 0], lines[:, 1:] = 2, rows
    lines[1:, 1:] -= rows[:-1]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if profile := saved.get("icc_profile"):
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if dpi := saved.get("dpi"):
        across, down = (round(float(side) / 0.0254) for side in dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _tiff_file(layers: Deep, saved: dict[str, Any]) -> bytes:
    import tifffile

    if layers.shape[2] == 2:
        # Readers know transparency beside three colours better than beside grey.
        layers = layers[:, :, [0, 0, 0, 1]]
    out = io.BytesIO()
    colour, dpi = layers.shape[2] > 2, saved.get("dpi")
    tifffile.imwrite(
        out,
        layers if colour else layers[:, :, 0],
        photometric="rgb" if colour else "minisblack",
        compression="zlib",
        extrasamples=("unassalpha",) if layers.shape[2] == 4 else None,
        iccprofile=saved.get("icc_profile"),
        resolution=(float(dpi[0]), float(dpi[1])) if dpi else None,
        resolutionunit="INCH" if dpi else None,
        metadata=None,
    )
    return out.getvalue()
