"""Images in tar files: truncated members, sizes that are not true, names of any kind."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.sources.tar import Tar


def png(value: int, height: int = 5, width: int = 7) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(out, "png")
    return out.getvalue()


def write(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    members = {
        "./set/b.png": png(20),
        "./set/low/a.PNG": png(10, 9),
        "./set/._b.png": b"left by a file system",
        "./set/notes.txt": b"no image",
        "./set/broken.png": b"cut",
    }
    return write(tmp_path / "photos.tar", members)


def test_images_are_read_in_place(photos: Path) -> None:
    source = Tar(path=str(photos))
    entries = source.index().entries
    assert [entry.id for entry in entries] == ["set/b.png", "set/broken.png", "set/low/a.PNG"]
    first, broken, last = source.read(entries)
    assert isinstance(first, Sample)
    assert first.image.shape == (5, 7, 3)
    assert (first.image == 20).all()
    assert first.truth is None
    assert isinstance(broken, Skipped)
    assert "set/broken.png" in broken.reason or broken.id == "set/broken.png"
    assert isinstance(last, Sample)
    assert last.image.shape == (9, 7, 3)


def test_pattern_selects(photos: Path) -> None:
    found = Tar(path=str(photos), pattern="*/low/*").index().entries
    assert [entry.id for entry in found] == ["set/low/a.PNG"]
    with pytest.raises(DataError, match="no images that match 'high"):
        Tar(path=str(photos), pattern="high/*").index()


def test_fingerprint_follows_the_bytes(photos: Path, tmp_path: Path) -> None:
    def key(path: Path) -> str:
        source = Tar(path=str(path))
        return source.fingerprint(source.index().entries)

    same = write(tmp_path / "same.tar", {"./set/b.png": png(20)})
    moved = write(tmp_path / "moved.tar", {"x.txt": b"first", "./set/b.png": png(20)})
    other = write(tmp_path / "other.tar", {"./set/b.png": png(21)})
    assert key(same) == key(moved) != key(other)


def test_a_file_that_was_replaced_is_scanned_again(tmp_path: Path) -> None:
    path = write(tmp_path / "set.tar", {"a.png": png(1)})
    assert len(Tar(path=str(path)).index().entries) == 1
    write(path, {"a.png": png(1), "b.png": png(2)})
    assert len(Tar(path=str(path)).index().entries) == 2


def test_other_files_are_refused(photos: Path, tmp_path: Path) -> None:
    packed = tmp_path / "photos.tar.gz"
    packed.write_bytes(gzip.compress(photos.read_bytes(), mtime=0))
    for path in (packed, tmp_path / "text.tar"):
        if not path.exists():
            path.write_text("hello")
        with pytest.raises(DataError, match="not an uncompressed tar file"):
            Tar(path=str(path)).index()


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "how", ["cut in the data", "size too large", "negative size", "noise behind", "cut header"]
)
def test_a_damaged_member_leaves_those_before_it(how: str, tmp_path: Path) -> None:
    path = write(tmp_path / "photos.tar", {"a.png": png(1), "b.png": png(2)})
    # Without the zero blocks that end a tar file.
    whole = path.read_bytes()[: 2 * (512 + 512)]
    tails = {
        "cut in the data": header("c.png", 5000) + png(3)[:40],
        "size too large": header("c.png", 2**60) + png(3),
        "negative size": header("c.png", -1024) + png(3),
        "noise behind": bytes(range(256)) * 2,
        "cut header": header("c.png", 100)[:200],
    }
    path.write_bytes(whole + tails[how])
    index = Tar(path=str(path)).index()
    assert [entry.id for entry in index.entries] == ["a.png", "b.png"]
    assert all(isinstance(sample, Sample) for sample in Tar(path=str(path)).read(index.entries))
    if "cut header" not in how and "noise" not in how:
        assert [(one.id, "what is behind it" in one.reason) for one in index.passed_over] == [("c.png", True)]
    elif index.passed_over:
        assert "damaged" in index.passed_over[0].reason


def test_links_and_repeated_names_do_not_stop_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as archive:
        for value in (1, 2):
            info = tarfile.TarInfo("a.png")
            info.size = len(png(value))
            archive.addfile(info, io.BytesIO(png(value)))
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.SYMTYPE, "a.png"
        archive.addfile(link)
    index = Tar(path=str(path)).index()
    (sample,) = Tar(path=str(path)).read(index.entries)
    assert isinstance(sample, Sample)
    assert (sample.image == 2).all()
    assert [(one.id, one.reason) for one in index.passed_over] == [("b.png", "is a link")]
