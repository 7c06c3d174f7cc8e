"""Pixel interpretations: every way in which files store the same pixels gives the same pixels.

A generated matrix of TIFF and PNG files (photometric interpretation, depth, planes, tiles, byte order,
transparency, orientation, profile), read by both readers and compared with what was stored.
"""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.media.deep import upright
from clearsight.data.media.images import decode
from clearsight.data.media.lossless import StoredImage, decode_image, encode

H, W = 21, 35
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def drawn(channels: int, dtype: str, *, name: str = "x") -> np.ndarray:
    """Values that use the whole range, not symmetric under any turn."""
    top = int(np.iinfo(dtype).max)
    return Rng(0).at(name, channels).numpy().integers(0, top + 1, (H, W, channels)).astype(dtype)


def tiff(values: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values[:, :, 0] if values.shape[2] == 1 else values, metadata=None, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(values: np.ndarray, extra: bytes = b"") -> bytes:
    """A PNG file written by hand."""
    height, width, channels = values.shape
    depth = 8 * values.dtype.itemsize
    rows = values.astype(">u2" if depth == 16 else np.uint8).reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def in_8_bits(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.int64)
    return (wide if values.dtype == np.uint8 else (wide + 128) // 257).astype(np.uint8)


def colour(values: np.ndarray) -> np.ndarray:
    return np.repeat(values, 3 // values.shape[2], axis=2)


def check(data: bytes, pixels: np.ndarray, alpha: np.ndarray | None = None, *, off: int = 0) -> StoredImage:
    """Compare both readers with what is stored; ``off``: levels that rounding may cost."""
    stored = decode_image(data, "x")
    assert stored.pixels.dtype == pixels.dtype
    assert stored.pixels.shape == pixels.shape
    assert np.abs(stored.pixels.astype(int) - pixels).max() <= off
    if alpha is None:
        assert stored.alpha is None
    else:
        assert stored.alpha is not None
        assert np.array_equal(stored.alpha, alpha)
    shown = colour(pixels).astype(float)
    top = np.iinfo(pixels.dtype).max
    if alpha is not None:
        share = alpha[:, :, None] / top
        shown = shown * share + top * (1 - share)
    found = decode(data).astype(float)
    assert np.abs(found - shown * (255 / top)).max() <= 1.01 + off
    return stored


STORED = list(itertools.product(("uint8", "uint16"), (None, "zlib"), (None, (16, 16)), "<>"))


@pytest.mark.parametrize(("dtype", "compression", "tile", "order"), STORED)
def test_tiff(dtype: str, compression: str | None, tile: tuple[int, int] | None, order: str) -> None:
    how: dict[str, Any] = {"compression": compression, "tile": tile, "byteorder": order}
    grey, rgb = drawn(1, dtype), drawn(3, dtype)
    check(tiff(grey, photometric="minisblack", **how), grey)
    check(tiff(rgb, photometric="rgb", **how), rgb)
    apart = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    out = io.BytesIO()
    tifffile.imwrite(out, apart, photometric="rgb", planarconfig="separate", metadata=None, **how)
    check(out.getvalue(), rgb)
    white = tiff(grey, photometric="miniswhite", **how)
    if dtype == "uint16" and order == ">":
        # Pillow does not know this one at all: refused by name, never a negative.
        for read in (decode, lambda data: decode_image(data, "x")):
            with pytest.raises(DataError, match="not an image in a supported format"):
                read(white)
    else:
        check(white, np.iinfo(dtype).max - grey)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_transparency(dtype: str) -> None:
    layers = drawn(4, dtype)
    pixels, alpha = layers[:, :, :3], layers[:, :, 3]
    check(tiff(layers, photometric="rgb", extrasamples=["unassalpha"]), pixels, alpha)
    # What is neither transparency nor colour is left out.
    check(tiff(layers, photometric="rgb", extrasamples=["unspecified"]), pixels)
    top = int(np.iinfo(dtype).max)
    opaque = np.maximum(alpha, top // 2)
    multiplied = np.rint(pixels * (opaque[:, :, None] / top)).astype(dtype)
    data = tiff(np.dstack([multiplied, opaque]), photometric="rgb", extrasamples=["assocalpha"])
    check(data, pixels, opaque, off=2)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_of_numbers_without_a_fixed_range(dtype: str, channels: int, order: str) -> None:
    """Black and white of signed, 32-bit and real numbers are whatever a program meant: never guessed."""
    values = (drawn(channels, "uint8").astype(np.int64) - 128).astype(dtype)
    data = tiff(values, photometric="rgb" if channels == 3 else "minisblack", byteorder=order)
    for read in (decode, lambda given: decode_image(given, "a.tif")):
        with pytest.raises(DataError, match="no fixed range|not an image in a supported format"):
            read(data)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_tiff_of_few_bits(bits: int, white_is_zero: bool) -> None:
    """Packed by hand, with the photometric interpretation turned round in the file."""
    top = 2**bits - 1
    values = Rng(1).at(bits).numpy().integers(0, top + 1, (H, 32)).astype(np.uint8)
    flat = np.unpackbits(values[:, :, None], axis=2)[:, :, 8 - bits :].reshape(H, -1)
    strip = np.packbits(flat, axis=1).tobytes()
    tags = [
        (256, 4, 32), (257, 4, H), (258, 3, bits), (259, 3, 1), (262, 3, 0 if white_is_zero else 1),
        (273, 4, 8), (277, 3, 1), (278, 4, H), (279, 4, len(strip)),
    ]  # fmt: skip
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in tags
    )
    place = 8 + len(strip)
    data = b"II*\0" + struct.pack("<I", place) + strip + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    expected = np.rint((top - values if white_is_zero else values) * (255 / top)).astype(np.uint8)
    check(data, expected[:, :, None])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("key", [False, True])
def test_png(dtype: str, channels: int, key: bool) -> None:
    values = drawn(channels, dtype)
    if channels in (2, 4):
        check(png(values), values[:, :, :-1], values[:, :, -1])
        return
    if not key:
        check(png(values), values)
        return
    chosen = values[3, 7]
    extra = chunk(b"tRNS", b"".join(struct.pack(">H", int(value)) for value in chosen))
    top = np.iinfo(dtype).max
    alpha = np.where((values == chosen).all(2), 0, top).astype(dtype)
    check(png(values, extra), values, alpha)


@pytest.mark.parametrize("largest", [255, 300, 1023, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_netpbm_is_scaled_by_its_largest_value(largest: int, channels: int) -> None:
    values = Rng(2).at(largest).numpy().integers(0, largest + 1, (H, W, channels))
    head = f"P{5 if channels == 1 else 6}\n{W} {H}\n{largest}\n".encode()
    data = head + values.astype(">u2" if largest > 255 else np.uint8).tobytes()
    top, dtype = (65535, np.uint16) if largest > 255 else (255, np.uint8)
    check(data, np.rint(values * (top / largest)).astype(dtype), off=1)


@pytest.mark.parametrize("colours", [2, 16, 256])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "GIF", "BMP"])
def test_palettes(colours: int, form: str) -> None:
    index = Rng(3).at(colours).numpy().integers(0, colours, (H, W)).astype(np.uint8)
    palette = Rng(4).at("palette").numpy().integers(0, 256, (colours, 3)).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    out = io.BytesIO()
    image.save(out, form)
    check(out.getvalue(), palette[index])


@pytest.mark.parametrize("form", ["TIFF", "JPEG"])
def test_cmyk_is_what_pillow_makes_of_it(form: str) -> None:
    image = Image.fromarray(drawn(4, "uint8"), "CMYK" if form == "TIFF" else None).convert("CMYK")
    out = io.BytesIO()
    image.save(out, form)
    with Image.open(io.BytesIO(out.getvalue())) as back:
        assert back.mode == "CMYK"
        expected = np.asarray(back.convert("RGB"))
    check(out.getvalue(), expected)


def test_sixteen_bit_cmyk_is_refused_where_nothing_may_be_lost() -> None:
    data = tiff(drawn(4, "uint16"), photometric="separated")
    with pytest.raises(DataError, match="8 bits a channel only"):
        decode_image(data, "x")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_orientation(orientation: int, dtype: str, form: str, channels: int) -> None:
    if form == "JPEG" and dtype == "uint16":
        pytest.skip("JPEG has 8 bits a channel")
    values = drawn(channels, dtype)
    if form == "TIFF":
        photometric = "rgb" if channels == 3 else "minisblack"
        data = tiff(values, photometric=photometric, extratags=[(274, "H", 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        out = io.BytesIO()
        shallow = in_8_bits(values)
        flat = shallow[:, :, 0] if channels == 1 else shallow
        Image.fromarray(flat).save(out, form, exif=exif, quality=100, subsampling=0)
        data = out.getvalue()
        if form == "PNG":
            data = png(values, chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
        else:
            with Image.open(io.BytesIO(data)) as plain:
                values = np.asarray(plain.copy()).reshape(H, W, channels)
    check(data, upright(values, orientation))
    if form == "TIFF" and channels == 3:
        out = io.BytesIO()
        told: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate", "metadata": None}
        apart = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        tifffile.imwrite(out, apart, extratags=[(274, "H", 1, orientation, True)], **told)
        check(out.getvalue(), upright(values, orientation))
    with Image.open(io.BytesIO(data)) as turned:
        # Pillow agrees in 8 bits; of 16-bit colour it knows the upper byte alone.
        by_pillow = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    ours = upright(values, orientation).astype(int).reshape(by_pillow.shape)
    assert np.array_equal(by_pillow, ours >> 8 if dtype == "uint16" and channels == 3 else ours)


@pytest.mark.parametrize("ending", ["png", "tif", "ppm"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_written_in_16_bits_is_read_back(ending: str, channels: int, tmp_path: Path) -> None:
    values = drawn(channels, "uint16")
    alpha = values[:, :, -1] if channels in (2, 4) else None
    pixels = values if alpha is None else values[:, :, :-1]
    image = StoredImage(
        np.ascontiguousarray(pixels), alpha, saved={"icc_profile": PROFILE, "dpi": (300.0, 150.0)}
    )
    target = tmp_path / f"x.{ending}"
    if ending == "ppm" and alpha is not None:
        with pytest.raises(DataError, match="cannot hold transparency"):
            encode(image, target)
        return
    data, notes = encode(image, target)
    if channels == 2 and ending == "tif":
        pixels = colour(pixels)
    stored = check(data, pixels, alpha)
    if ending == "ppm":
        return
    if channels > 2:
        assert notes == ()
        assert stored.saved["icc_profile"] == PROFILE
    assert stored.saved["dpi"] == pytest.approx((300.0, 150.0), abs=0.02)
    # Readers that are not ours agree.
    if ending == "tif" and channels in (1, 3):
        assert np.array_equal(tifffile.imread(io.BytesIO(data)).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("ending", ["jpg", "bmp", "webp", "jp2"])
def test_formats_of_8_bits_refuse_16(ending: str, tmp_path: Path) -> None:
    image = StoredImage(drawn(3, "uint16"))
    with pytest.raises(DataError, match="cannot hold 16 bits a channel; write PNG"):
        encode(image, tmp_path / f"x.{ending}")


def test_transparency_is_brought_to_the_depth_of_the_pixels(tmp_path: Path) -> None:
    deep, shallow = drawn(4, "uint16"), drawn(4, "uint8")
    data, _ = encode(StoredImage(shallow[:, :, :3], deep[:, :, 3]), tmp_path / "x.png")
    check(data, shallow[:, :, :3], in_8_bits(deep[:, :, 3]))
    data, _ = encode(StoredImage(deep[:, :, :3], shallow[:, :, 3]), tmp_path / "x.png")
    check(data, deep[:, :, :3], shallow[:, :, 3].astype(np.uint16) * 257)


def test_colour_is_restored_in_16_bits(tmp_path: Path) -> None:
    """The command: a median moves values about, so every value of the result is one of the image's."""
    from typer.testing import CliRunner

    from clearsight.pipelines.cli.app import app

    values = drawn(3, "uint16")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png(values))
    (tmp_path / "in" / "b.tif").write_bytes(tiff(values, photometric="rgb"))
    done = CliRunner().invoke(
        app, ["restore", str(tmp_path / "in"), str(tmp_path / "out"), "--with", "median"]
    )
    assert done.exit_code == 0, done.output
    made = [decode_image((tmp_path / "out" / name).read_bytes(), name).pixels for name in ("a.png", "b.tif")]
    assert made[0].dtype == np.uint16
    assert np.array_equal(made[0], made[1])
    assert np.isin(made[0], values).all()
    assert np.unique(made[0] % 257).size > 100
