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
