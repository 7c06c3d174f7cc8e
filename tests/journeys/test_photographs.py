"""Journey: what a camera, a scanner and a phone give: 12 megapixels on their side, 16 bits, transparency, a video."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from pages import done_by
from PIL import Image
from tiny_onnx import tiny

from clearsight.data.contract.rng import Rng
from clearsight.data.media.lossless import read_image

ORIENTATION = 0x0112
WIDE, HIGH = 4000, 3000


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red photograph of 12 megapixels that lies on its side, a scan, a drawing, and a video where OpenCV writes one."""
    folder = tmp_path_factory.mktemp("journey") / "photos"
    folder.mkdir()
    # A dark left edge, which is the top when the camera's turn is undone.
    pixels = np.full((HIGH, WIDE, 3), (200, 60, 40), np.uint8)
    pixels[:, :500] = (100, 20, 10)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(pixels).save(folder / "camera.jpg", quality=90, exif=exif)
    draw = Rng(3).at("photographs").numpy()
    import cv2

    scan = draw.integers(0, 2**16, (40, 60, 3), np.uint16)
    cv2.imwrite(str(folder / "scan.tif"), scan[:, :, ::-1])
    drawing = draw.integers(0, 256, (30, 50, 4), np.uint8)
    Image.fromarray(drawing).save(folder / "drawing.png")
    return folder


@pytest.fixture
def video(photos: Path) -> Path:
    """Beside them a second of green, as a phone names it."""
    import cv2

    path = photos / "phone.MP4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for _ in range(10):
        writer.write(np.full((48, 64, 3), (30, 180, 50), np.uint8))
    writer.release()
    return path


@pytest.mark.slow
def test_restore_keeps_what_a_file_is(
    photos: Path, video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    done_by("restore", "photos", "out", "--with", "gamma", "--device", "cpu", "--quiet")
    told = capsys.readouterr().out
    assert "note phone.MP4: sound is not kept" in told
    assert "out: 4 restored" in told
    with Image.open("out/camera.jpg") as image:
        assert (image.size, image.getexif().get(ORIENTATION, 1)) == ((HIGH, WIDE), 1)
        top, below = (np.asarray(image.resize((3, 4), Image.Resampling.BOX))[row] for row in (0, 2))
    assert top.mean() < below.mean()
    before, after = read_image(photos / "scan.tif"), read_image(Path("out/scan.tif"))
    assert after.pixels.dtype == np.uint16
    assert len(np.unique(after.pixels)) > 256
    assert before.pixels.shape == after.pixels.shape
    with Image.open(photos / "drawing.png") as was, Image.open("out/drawing.png") as now:
        assert np.array_equal(np.asarray(was)[:, :, 3], np.asarray(now)[:, :, 3])
        assert not np.array_equal(np.asarray(was), np.asarray(now))
    assert Path("out/phone.MP4").stat().st_size > 0


@pytest.mark.slow
def test_infer_says_what_is_on_every_one(
    photos: Path, video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    tiny(Path("model.onnx"))
    done_by("infer", "model.onnx", "photos", "--size", "32", "--csv", "labels.csv", "--quiet")
    with Path("labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["frame"]) for row in rows] == [
        ("camera.jpg", ""),
        ("drawing.png", ""),
        *(("phone.MP4", str(number)) for number in range(10)),
        ("scan.tif", ""),
    ]
    by_name = {row["path"]: row for row in rows}
    # Upright before it is resized.
    assert (by_name["camera.jpg"]["width"], by_name["camera.jpg"]["height"]) == (str(HIGH), str(WIDE))
    assert by_name["camera.jpg"]["label"] == "red"
    assert {row["label"] for row in rows if row["frame"]} == {"green"}


@pytest.mark.slow
def test_an_exported_restorer_does_the_same_in_tiles(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    tiny(Path("blur.onnx"), gives=("image",))
    for name in ("camera.jpg", "scan.tif", "drawing.png"):
        done_by("infer", "blur.onnx", f"photos/{name}", "--save-restored", "blurred", "--quiet")
    with Image.open("blurred/camera.jpg") as image:
        assert image.size == (HIGH, WIDE)
        assert np.asarray(image.getpixel((1500, 3000))) == pytest.approx((200, 60, 40), abs=3)
    assert read_image(Path("blurred/scan.tif")).pixels.dtype == np.uint16
    with Image.open("blurred/drawing.png") as drawing:
        assert drawing.mode == "RGBA"
