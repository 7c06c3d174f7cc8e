"""One image never stops a batch: what a format cannot hold, names at the limit, files that go away or lie."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_onnx import tiny

from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.home import LONGEST_NAME, remove_half_written, replace_file, temporary_path
from clearsight.data.media.files import content
from clearsight.data.media.images import encode_jpeg, encode_png
from clearsight.data.media.lossless import StoredImage, encode
from clearsight.data.sources.files import Files
from clearsight.pipelines.api.images import corrupt
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.restoring import job

PLAIN = encode_png(np.full((16, 16, 3), 90, np.uint8))


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([*map(str, words), "-q"])
    return int(done.value.code or 0)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "z.png"):
        (tmp_path / "in" / name).write_bytes(PLAIN)
    return tmp_path / "in"


@pytest.mark.parametrize(("ending", "longest"), [("webp", 16_383), ("jpg", 65_500)])
@pytest.mark.parametrize("call", ["restore", "infer"])
def test_sides_that_a_format_cannot_hold(
    call: str, ending: str, longest: int, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Formats are known by their content, and results written in that of the name.
    (folder / f"long.{ending}").write_bytes(encode_png(np.zeros((4, longest + 1, 1), np.uint8)))
    (folder / f"fits.{ending}").write_bytes(encode_png(np.zeros((4, longest, 1), np.uint8)))
    if call == "restore":
        words = ["restore", folder, tmp_path / "out", "--with", "median"]
    else:
        model = tiny(tmp_path / "m.onnx", gives=("image",), channels=1)
        words = ["infer", model, folder, "--save-restored", tmp_path / "out", "--provider", "cpu"]
    assert command(*words) == 1
    assert files(tmp_path / "out") == {"a.png", f"fits.{ending}", "z.png"}
    said = "".join(capsys.readouterr())
    assert f"sides have {longest} pixels at most; write PNG files" in said


@pytest.mark.parametrize("words", ["sr-x4,sr-x4,sr-x4", "sr-x4,median,sr-x4,sr-x4,median"])
@pytest.mark.slow
def test_enlargers_in_a_row_are_bounded_before_the_work(
    words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "large.png").write_bytes(encode_png(np.zeros((200, 300, 3), np.uint8)))
    assert command("restore", folder, tmp_path / "out", "--with", words) == 1
    assert files(tmp_path / "out") == {"a.png", "z.png"}
    said = " ".join("".join(capsys.readouterr()).split())
    assert "300x200 pixels enlarged 64 times are 245,760,000, more than the limit of 100,000,000" in said


@pytest.mark.parametrize("length", [LONGEST_NAME, LONGEST_NAME - 1, LONGEST_NAME - 20, LONGEST_NAME - 45])
def test_names_at_the_limit_of_the_file_system(length: int, folder: Path, tmp_path: Path) -> None:
    name = "é" * ((length - 4) // 2) + "x" * (length % 2) + ".png"
    assert len(os.fsencode(name)) == length
    (folder / name).write_bytes(PLAIN)
    assert command("restore", folder, tmp_path / "out", "--with", "median") == 0
    assert files(tmp_path / "out") == {"a.png", name, "z.png"}
    model = tiny(tmp_path / "m.onnx", gives=("image",))
    assert command("infer", model, folder, "--save-restored", tmp_path / "o2", "--provider", "cpu") == 0
    assert files(tmp_path / "o2") == {"a.png", name, "z.png"}
    corrupt(Files(path=str(folder)), tmp_path / "o3", "contrast", severities=[1])
    assert len(list((tmp_path / "o3" / "contrast").rglob("*.png"))) == 3


def test_a_result_whose_name_is_too_long_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # An ending that is not written becomes a longer name.
    source = folder / ("x" * (LONGEST_NAME - 4) + ".pam")
    source.write_bytes(PLAIN)
    (folder / "a.png").unlink()
    assert command("restore", source, tmp_path / "out", "--with", "median") == 1
    assert "cannot be written: File name too long" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["", ".mp4"])
@pytest.mark.parametrize("name", ["a.png", "x" * LONGEST_NAME])
def test_temporary_files_are_found_again(name: str, ending: str, tmp_path: Path) -> None:
    left = temporary_path(tmp_path / name, ending)
    left.write_bytes(b"half")
    other = temporary_path(tmp_path / f"b{name}"[:LONGEST_NAME], ending)
    other.write_bytes(b"of another file")
    remove_half_written(tmp_path, [name])
    assert not left.exists()
    assert other.exists()


def test_a_folder_where_a_result_goes_fails_this_result_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "m.png").write_bytes(PLAIN)
    (tmp_path / "out" / "m.png").mkdir(parents=True)
    assert command("restore", folder, tmp_path / "out", "--with", "median", "--fresh") == 1
    assert files(tmp_path / "out") == {"a.png", "z.png"}
    assert "skipped m.png: cannot be written: Is a directory" in capsys.readouterr().out


def test_images_that_are_deleted_under_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "m.png").write_bytes(PLAIN)
    listed = job._tidy

    def gone(items: Sequence[Any]) -> None:
        (folder / "m.png").unlink()
        listed(items)

    monkeypatch.setattr(job, "_tidy", gone)
    assert command("restore", folder, tmp_path / "out", "--with", "median") == 1
    assert files(tmp_path / "out") == {"a.png", "z.png"}
    assert "skipped m.png: cannot be read: No such file or directory" in capsys.readouterr().out


def test_corrupt_names_an_image_that_was_deleted(folder: Path, tmp_path: Path) -> None:
    source = Files(path=str(folder))
    index = source.index()
    (folder / "a.png").unlink()
    (sample, _) = source.read(index.entries)
    assert "cannot be read" in sample.reason  # type: ignore[union-attr]


def huge(width: int, height: int, kind: str) -> bytes:
    """An image whose head claims a size that its data do not fill."""
    if kind == "png":
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
        return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\x05IDATx\x9c\x63\x00\x00\0\0\0\0"
    if kind == "ppm":
        return f"P6 {width} {height} 255\n".encode() + b"x" * 64
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 80, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        + b"x" * 26
    )


@pytest.mark.parametrize("kind", ["png", "ppm", "bmp"])
@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (60_000, 60_000), (9_000, 9_000), (1, 2**30)])
def test_sizes_in_heads_that_are_not_true(
    kind: str, size: tuple[int, int], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"m.{kind}").write_bytes(huge(*size, kind))
    assert command("restore", folder, tmp_path / "out", "--with", "median") == 1
    assert files(tmp_path / "out") == {"a.png", "z.png"}
    assert f"skipped m.{kind}: " in capsys.readouterr().out


def test_pipes_and_folders_are_no_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="is not a file"):
        content(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="is not a file"):
        content(tmp_path)


def test_encoders_say_what_they_cannot_store() -> None:
    with pytest.raises(DataError, match="65501x1 pixels cannot be stored as JPEG"):
        encode(StoredImage(np.zeros((1, 65_501, 3), np.uint8)), Path("x.jpg"))
    with pytest.raises(ShapeError, match="70000x1 pixels cannot be stored as JPEG"):
        encode_jpeg(np.zeros((1, 70_000, 3), np.uint8), 85)


def test_a_home_that_is_not_there_is_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("restore", "~nobody-of-this-name/x.png", tmp_path / "out", "--with", "median") == 1
    assert "~nobody-of-this-name/x.png: no such file or folder" in capsys.readouterr().err


def test_a_file_is_replaced_whole_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * LONGEST_NAME)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
