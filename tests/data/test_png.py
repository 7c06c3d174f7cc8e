"""PNG files by the thousand: lossless, equal bytes, rows filtered as promised."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.media.deep import deep
from clearsight.data.media.png import encode_png_fast, fast, with_facts


def image(channels, kind=np.uint8):
    values = Rng(0).at("png", channels).numpy().integers(0, np.iinfo(kind).max + 1, (37, 29, channels))
    return values.astype(kind)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_eight_bits_come_back_as_they_were(channels):
    pixels = image(channels)
    read = np.array(Image.open(io.BytesIO(encode_png_fast(pixels))))
    assert np.array_equal(read.reshape(pixels.shape), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_come_back_as_they_were(channels):
    pixels = image(channels, np.uint16)
    file = encode_png_fast(pixels)
    read, opacity = deep(Image.open(io.BytesIO(file)), file)
    assert opacity is None
    assert np.array_equal(read, pixels)


def test_the_same_pixels_give_the_same_bytes_whatever_their_memory_looks_like():
    pixels = image(3)
    turned = np.ascontiguousarray(pixels.transpose(1, 0, 2)).transpose(1, 0, 2)
    assert not turned.flags.c_contiguous
    assert encode_png_fast(turned) == encode_png_fast(pixels)


def test_every_row_is_told_by_the_row_above():
    file, pixels = encode_png_fast(image(3)), image(3)
    body, at = b"", 8
    while at < len(file):
        size = int.from_bytes(file[at : at + 4], "big")
        body += file[at + 8 : at + 8 + size] if file[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + size
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(37, 1 + 29 * 3)
    assert set(rows[:, 0]) == {2}
    assert np.array_equal(rows[1:, 1:], (pixels[1:] - pixels[:-1]).reshape(36, -1))


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3))]
)
def test_other_types_and_shapes_are_refused(wrong):
    with pytest.raises(ShapeError, match="expects uint8 or uint16"):
        encode_png_fast(wrong)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ShapeError, match="cannot be stored"):
        encode_png_fast(np.zeros((0, 4, 3), np.uint8))


def test_what_pillow_would_say_of_an_image_stands_in_the_fast_file():
    pixels = image(3)
    told = Image.Exif()
    told[0x010E] = "a camera"
    options = {"dpi": (300, 300), "icc_profile": bytes(range(200)), "exif": told.tobytes()}
    read = Image.open(io.BytesIO(with_facts(encode_png_fast(pixels), "RGB", options)))
    assert np.array_equal(np.array(read), pixels)
    assert read.info["icc_profile"] == options["icc_profile"]
    assert read.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert read.getexif()[0x010E] == "a camera"


def test_images_that_opencv_cannot_write_are_left_to_pillow():
    assert fast(image(3))
    assert fast(image(4))
    assert not fast(image(3, np.uint16))
    assert not fast(np.zeros((4, 4, 2), np.uint8))
    assert not fast(np.zeros((1, 1_000_001, 1), np.uint8))
