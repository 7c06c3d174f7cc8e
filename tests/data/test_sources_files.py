"""Loose files, class folders, ImageNet-C trees, photographs, parquet: what the contract tests leave open."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.media.images import encode_jpeg, encode_png
from clearsight.data.sources.files import Files
from clearsight.data.sources.folder import Folder
from clearsight.data.sources.imagenet_c import ImageNetC
from clearsight.data.sources.parquet import Parquet
from clearsight.data.sources.photos import NAMES, Photos


def png(shade: int) -> bytes:
    return encode_png(np.full((5, 7, 3), shade, np.uint8))


def tree(root: Path, names: list[str]) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(number))
    return root


def ids(source: Files | Folder | ImageNetC | Parquet) -> list[str]:
    return [entry.id for entry in source.index().entries]


def test_files_takes_a_file_a_folder_or_a_glob(tmp_path: Path) -> None:
    tree(tmp_path, ["b.png", "a/x.JPG", "a/deep/y.png", "a/.hidden/z.png", ".w.png"])
    (tmp_path / "a/notes.txt").write_text("no image")
    assert ids(Files(path=str(tmp_path))) == ["a/deep/y.png", "a/x.JPG", "b.png"]
    assert ids(Files(path=str(tmp_path / "b.png"))) == ["b.png"]
    assert ids(Files(path=str(tmp_path / "*.png"))) == ["b.png"]
    assert ids(Files(path=str(tmp_path / "a/**/*.png"))) == ["deep/y.png"]
    (single,) = Files(path=str(tmp_path / "b.png")).read(Files(path=str(tmp_path / "b.png")).index().entries)
    assert isinstance(single, Sample)
    assert (single.image == 0).all()


def test_files_with_brackets_in_a_real_name(tmp_path: Path) -> None:
    tree(tmp_path, ["set[1]/a.png"])
    assert ids(Files(path=str(tmp_path / "set[1]"))) == ["a.png"]


def test_files_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no images"):
        Files(path=str(tmp_path)).index()
    with pytest.raises(DataError, match="holds no images"):
        Files(path=str(tmp_path / "*.png")).index()
    with pytest.raises(DataError, match="is not a valid glob"):
        Files(path=str(tmp_path / "**.png")).index()


def test_a_file_that_goes_away_is_skipped(tmp_path: Path) -> None:
    source = Files(path=str(tree(tmp_path, ["a.png", "b.png"])))
    entries = source.index().entries
    (tmp_path / "a.png").unlink()
    gone, there = source.read(entries)
    assert isinstance(gone, Skipped)
    assert "cannot be read" in gone.reason
    assert isinstance(there, Sample)
    assert len(source.fingerprint(entries)) == 64


def test_folder_classes_are_sorted_and_may_be_empty(tmp_path: Path) -> None:
    tree(tmp_path, ["dog/1.png", "cat/2.png", "cat/more/3.png", "stray.png"])
    (tmp_path / "eel").mkdir()
    index = Folder(path=str(tmp_path)).index()
    assert index.classes == ("cat", "dog", "eel")
    assert [(e.id, e.truth) for e in index.entries] == [
        ("cat/2.png", 0),
        ("cat/more/3.png", 0),
        ("dog/1.png", 1),
    ]
    with pytest.raises(DataError, match="kind: files"):
        Folder(path=str(tmp_path / "eel")).index()


def test_imagenet_c_finds_its_level_and_names_near_misses(tmp_path: Path) -> None:
    tree(tmp_path, ["fog/1/n01/a.JPEG", "fog/2/n01/a.JPEG", "fog/2/n02/b.JPEG"])
    source = ImageNetC(path=str(tmp_path), corruption="fog", severity=2)
    assert ids(source) == ["imagenet_c/fog/2/n01/a.JPEG", "imagenet_c/fog/2/n02/b.JPEG"]
    assert source.index().classes == ("n01", "n02")
    with pytest.raises(DataError, match="did you mean 'fog'"):
        ImageNetC(path=str(tmp_path), corruption="fogg").index()
    with pytest.raises(DataError, match="not a folder"):
        ImageNetC(path=str(tmp_path), corruption="fog", severity=4).index()


def test_photos_are_all_there() -> None:
    source = Photos()
    entries = source.index().entries
    assert len(entries) == len(NAMES) == 20
    samples = source.read(entries)
    assert all(isinstance(sample, Sample) for sample in samples)
    assert entries[0].id == "photos/astronaut"


def write(path: Path, **columns: object) -> Parquet:
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return Parquet(path=str(path))


def test_parquet_plain_binary_without_metadata(tmp_path: Path) -> None:
    source = write(tmp_path / "a.parquet", image=[png(n) for n in range(7)], label=[0, 1, 2, 0, -1, None, 1])
    index = source.index()
    assert index.classes == ("0", "1", "2")
    assert [entry.truth for entry in index.entries] == [0, 1, 2, 0, None, None, 1]
    assert index.entries[3].id == "a/000003"
    shades = [s.image[0, 0, 0] for s in source.read(index.entries[::-1]) if isinstance(s, Sample)]
    assert shades == [6, 5, 4, 3, 2, 1, 0]


def test_parquet_other_columns_and_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", img=[png(1), None], fine=[3, 0])
    source = Parquet(path=str(tmp_path / "a.parquet"), image_column="img", label_column="fine")
    assert [entry.truth for entry in source.index().entries] == [3, 0]
    good, none = source.read(source.index().entries)
    assert isinstance(good, Sample)
    assert isinstance(none, Skipped)
    assert "holds no image" in none.reason
    unlabelled = Parquet(path=str(tmp_path / "a.parquet"), image_column="img", label_column=None)
    assert unlabelled.index().classes == ()
    assert {entry.truth for entry in unlabelled.index().entries} == {None}


def test_parquet_mistakes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'label'; did you mean 'labels'"):
        write(tmp_path / "a.parquet", image=[png(1)], labels=[0]).index()
    with pytest.raises(DataError, match="not encoded images"):
        write(tmp_path / "b.parquet", image=[1.5], label=[0]).index()
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no, not really PAR1")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        Parquet(path=str(tmp_path / "c.parquet")).index()
    with pytest.raises(DataError, match="label -7 is none"):
        write(tmp_path / "d.parquet", image=[png(1)], label=[-7]).index()
    with pytest.raises(DataError, match="label 'cat' is none"):
        write(tmp_path / "e.parquet", image=[png(1)], label=["cat"]).index()


def test_parquet_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", image=[png(1)], label=[0])
    key = first.fingerprint(first.index().entries)
    second = write(tmp_path / "a.parquet", image=[png(2), png(3)], label=[0, 0])
    later = time.time() + 5
    os.utime(tmp_path / "a.parquet", (later, later))
    assert len(second.index().entries) == 2
    assert second.fingerprint(second.index().entries[:1]) != key


@pytest.mark.parametrize("encode", [png, lambda n: encode_jpeg(np.full((5, 7, 3), n, np.uint8), 90)])
def test_parquet_damage_inside_is_a_data_error(encode: object, tmp_path: Path) -> None:
    assert callable(encode)
    source = write(tmp_path / "a.parquet", image=[encode(n) for n in range(9)], label=list(range(9)))
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[40:200] = bytes(160)
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    found = source.read(source.index().entries)
    assert any(isinstance(sample, Skipped) for sample in found)
