from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.media.images import decode, encode_jpeg, encode_png, to_float, to_uint8


def noise(*shape: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=7)).integers(0, 256, shape, np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("shape", [(1, 1, 3), (17, 5, 3), (8, 9, 1)])
def test_png_is_lossless(shape: tuple[int, int, int]) -> None:
    image = noise(*shape)
    back = decode(encode_png(image))
    np.testing.assert_array_equal(back, np.broadcast_to(image, back.shape))
    assert back.flags.c_contiguous
    assert back.flags.writeable


def test_jpeg_quality_orders_size_and_error() -> None:
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    low, high = encode_jpeg(smooth, 20), encode_jpeg(smooth, 95)
    assert len(low) < len(high)
    error = [np.abs(decode(data).astype(int) - smooth).mean() for data in (low, high)]
    assert error[1] < error[0]
    with pytest.raises(ValueError, match="1 to 100"):
        encode_jpeg(smooth, 0)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_exif_orientation_is_applied(turn: int) -> None:
    image = noise(6, 9, 3)
    exif = Image.Exif()
    exif[0x0112] = turn
    quarter = {1: 0, 3: 2, 6: 1, 8: 3}[turn]  # the stored image is turned back by so many quarters
    stored = np.rot90(image, quarter)
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif.tobytes())
    np.testing.assert_array_equal(decode(data), image)


def test_transparency_is_composited_over_white() -> None:
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[0] = (10, 20, 30, 255)
    rgba[1] = (0, 0, 0, 51)
    found = decode(saved(Image.fromarray(rgba), "PNG"))
    assert (found[0] == (10, 20, 30)).all()
    assert (found[1] == 204).all()
    grey = Image.fromarray(rgba).convert("LA")
    assert (decode(saved(grey, "PNG"))[1] == 204).all()


def test_transparent_palette() -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([200, 10, 10, 10, 200, 10])
    image.putpixel((0, 0), 1)
    found = decode(saved(image, "GIF", transparency=1))
    assert (found[0, 0] == 255).all()
    assert tuple(found[1, 1]) == (200, 10, 10)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    deep = np.array([[0, 257, 256 * 257 // 2, 65535, 40000]], np.uint16)
    found = decode(saved(Image.fromarray(deep), kind))
    np.testing.assert_array_equal(found[0, :, 0], np.rint(deep[0] / 257).astype(np.uint8))
    assert (found == found[..., :1]).all()


def test_cmyk_bilevel_and_grey() -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = decode(saved(cmyk, "TIFF"))
    assert tuple(red[0, 0]) == (255, 0, 0)
    assert decode(saved(cmyk, "JPEG"))[4, 4, 0] > 240
    assert (decode(saved(Image.new("1", (3, 3), 1), "PNG")) == 255).all()
    assert decode(saved(Image.new("L", (3, 4), 9), "BMP")).shape == (4, 3, 3)


@pytest.mark.parametrize(("mode", "name"), [("F", "32-bit"), ("I", "signed integers")])
def test_images_without_a_range_are_refused_by_name(mode: str, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} .*no fixed range"):
        decode(saved(Image.new(mode, (4, 4), 1), "TIFF"))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decode(data)[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize(
    "data", [b"not an image at all", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF", b"\0" * 99]
)
def test_no_image(data: bytes) -> None:
    with pytest.raises(DataError, match="is not an image"):
        decode(data, name="x.png")


def test_empty_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        decode(b"")
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        decode(tmp_path / "gone.png")
    with pytest.raises(DataError, match="is not a file"):
        decode(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_truncated_files(kind: str) -> None:
    data = saved(Image.fromarray(noise(40, 40, 3)), kind)
    with pytest.raises(DataError, match="damaged|not an image"):
        decode(data[: len(data) * 2 // 3])


def bomb(side: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_huge_images_are_refused_before_decoding() -> None:
    with pytest.raises(DataError, match="more than the limit of 100"):
        decode(encode_png(noise(11, 10, 3)), max_pixels=100)
    with pytest.raises(DataError, match="too many pixels"):
        decode(bomb(20_000))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_limit_below_that_of_pillow() -> None:
    with pytest.raises(DataError, match="more than the limit of 100,000,000"):
        decode(bomb(11_000))


SEEDS = [
    saved(Image.fromarray(noise(24, 20, 3)), kind)
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
] + [saved(Image.fromarray(noise(24, 20, 3)).convert(mode), "TIFF") for mode in ("P", "CMYK", "LA")]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    cut=st.floats(0.05, 1.0),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12),
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_damage_gives_an_image_or_a_data_error(
    seed: bytes, cut: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(seed[: max(1, int(len(seed) * cut))])
    for place, value in changes:
        data[int(place**3 * len(data))] = value  # mostly in the headers
    try:
        found = decode(bytes(data), max_pixels=1_000_000)
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[2] == 3


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_escape(data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data)


def test_float_round_trip_is_exact() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.concatenate([every, every[:, ::-1], every[:, :, ::-1]], axis=3)
    planes = to_float(images)
    assert planes.shape == (1, 3, 16, 16)
    assert planes.dtype == np.float32
    assert planes.min() == 0
    assert planes.max() == 1
    np.testing.assert_array_equal(to_uint8(planes), images)


def test_to_uint8_clips_and_refuses_nan() -> None:
    values = np.array([-3.0, 0.5, 7.0], np.float32).reshape(1, 3, 1, 1)
    assert to_uint8(values).ravel().tolist() == [0, 128, 255]
    with pytest.raises(DataError, match="not numbers"):
        to_uint8(values * np.float32("nan"))


@pytest.mark.wrong_types("hands bytes to a function of floats")
def test_wrong_shapes() -> None:
    with pytest.raises(ShapeError):
        to_float(noise(3, 3, 3))
    with pytest.raises(ShapeError):
        to_uint8(noise(1, 3, 3, 3))
    with pytest.raises(ShapeError):
        encode_png(noise(3, 3, 4))
