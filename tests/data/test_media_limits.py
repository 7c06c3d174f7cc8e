"""Images of extreme shape, other endings and odd names: bounded, read or named, never a stop."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.sample import Sample
from clearsight.data.media.images import encode_png
from clearsight.data.media.listing import found
from clearsight.data.media.placement import LONGEST
from clearsight.data.media.resize import covering, middle


@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (1, 1_000_000), (2, 50_000), (7, 3_000)])
def test_what_a_thin_image_becomes_is_bounded(shape: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, max(shape)).astype(np.uint8).reshape(*shape, 1) if min(shape) == 1 else None
    pixels = np.zeros((*shape, 3), np.uint8) if ramp is None else np.repeat(ramp, 3, axis=2)
    tracemalloc.start()
    made = middle(covering(pixels, 224, 224), 224, 224)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.shape == (224, 224, 3)
    assert peak < 64e6
    if ramp is not None:
        # The middle of the ramp is what is left.
        assert abs(float(made.mean()) - 127.5) < 2


@pytest.mark.parametrize("shape", [(60, 240), (240, 61), (333, 500), (224, 224), (50, 200), (31, 97)])
def test_ordinary_images_are_resized_whole(shape: tuple[int, int]) -> None:
    import cv2

    pixels = np.random.Generator(np.random.Philox(key=1)).integers(0, 256, (*shape, 3), np.uint8)
    assert max(shape) * 64 <= LONGEST * 64 * min(shape)
    made = covering(pixels, 64, 64)
    how = cv2.INTER_AREA if min(shape) > 64 else cv2.INTER_CUBIC
    size = [max(64, round(side * 64 / min(shape))) for side in shape]
    assert np.array_equal(made, cv2.resize(pixels, (size[1], size[0]), interpolation=how))


@pytest.mark.parametrize("ending", ["jfif", "jif", "avif", "JPG", "webp"])
def test_endings_that_are_read(ending: str, tmp_path: Path) -> None:
    form = {"jfif": "JPEG", "jif": "JPEG", "avif": "AVIF", "JPG": "JPEG", "webp": "WEBP"}[ending]
    buffer = io.BytesIO()
    Image.new("RGB", (20, 16), (200, 30, 60)).save(buffer, form)
    (tmp_path / f"x.{ending}").write_bytes(buffer.getvalue())
    assert found(str(tmp_path), None).names == (f"x.{ending}",)
    source = SOURCES.parse({"kind": "files", "path": str(tmp_path)})
    (sample,) = source.read(source.index().entries)
    assert isinstance(sample, Sample)
    assert np.abs(sample.image.astype(int) - (200, 30, 60)).max() < 12


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("kind", ["folder", "files"])
def test_names_that_are_not_utf8_are_used(kind: str, tmp_path: Path) -> None:
    raw = b"caf\xe9.png"
    (tmp_path / "c").mkdir()
    try:
        with open(os.fsencode(tmp_path / "c") + b"/" + raw, "wb") as file:
            file.write(encode_png(np.full((8, 8, 3), 7, np.uint8)))
    except OSError:
        pytest.skip("this file system refuses such names")
    source = SOURCES.parse({"kind": kind, "path": str(tmp_path), "take": 1})
    index = source.index()
    assert index.entries[0].id == r"c/caf\xe9.png"
    index.entries[0].id.encode()
    (sample,) = source.read(index.entries)
    assert isinstance(sample, Sample)
    assert int(sample.image.mean()) == 7
    assert len(source.fingerprint(index.entries)) == 64
