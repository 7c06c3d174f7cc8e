"""Several sources read as one: ids, classes, and the images of each as it reads them alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample
from clearsight.data.media.images import encode_png


def folder(root: Path, classes: tuple[str, ...], shade: int) -> dict[str, object]:
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(3):
            (root / name / f"{number}.png").write_bytes(
                encode_png(np.full((8, 9, 3), shade + number, np.uint8))
            )
    return {"kind": "folder", "path": str(root)}


def test_images_of_all_sources_come_one_source_after_the_other(tmp_path: Path) -> None:
    nodes = [folder(tmp_path / name, ("a", "b"), shade) for name, shade in (("one", 10), ("two", 100))]
    joined = SOURCES.parse({"kind": "joined", "of": nodes})
    index = joined.index()
    assert index.classes == ("a", "b")
    assert [entry.truth for entry in index.entries] == [0, 0, 0, 1, 1, 1] * 2
    images = [sample.image[0, 0, 0] for sample in joined.read(index.entries) if isinstance(sample, Sample)]
    assert images == [10, 11, 12, 10, 11, 12, 100, 101, 102, 100, 101, 102]
    assert len({entry.id for entry in index.entries}) == 12


def test_ids_stay_where_the_sources_share_none(tmp_path: Path) -> None:
    nodes = [
        folder(tmp_path / "one", ("a", "b"), 10),
        {"kind": "signs", "count": 5, "label_map": {"stop": 0, "yield": 1}},
    ]
    alone = {entry.id for entry in SOURCES.parse(nodes[0]).index().entries}
    with pytest.raises(DataError, match="its source 1 has other classes than its source 0"):
        SOURCES.parse({"kind": "joined", "of": nodes}).index()
    (tmp_path / "two" / "a").mkdir(parents=True)
    (tmp_path / "two" / "b").mkdir()
    for name in ("a", "b"):
        (tmp_path / "two" / name / "other.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    nodes[1] = {"kind": "folder", "path": str(tmp_path / "two")}
    joined = SOURCES.parse({"kind": "joined", "of": nodes}).index()
    assert alone < {entry.id for entry in joined.entries}


def test_each_source_is_split_by_itself(tmp_path: Path) -> None:
    held = {"hold_out": {"per_class": 1}, "subset": "train"}
    nodes = [folder(tmp_path / "one", ("a",), 10) | held, folder(tmp_path / "two", ("a",), 50)]
    assert len(SOURCES.parse({"kind": "joined", "of": nodes}).index().entries) == 2 + 3


def test_a_file_that_changes_changes_the_fingerprint(tmp_path: Path) -> None:
    nodes = [folder(tmp_path / name, ("a",), 10) for name in ("one", "two")]
    joined = SOURCES.parse({"kind": "joined", "of": nodes})
    before = joined.fingerprint(joined.index().entries)
    (tmp_path / "two" / "a" / "2.png").write_bytes(encode_png(np.full((8, 9, 3), 99, np.uint8)))
    assert joined.fingerprint(joined.index().entries) != before


def test_without_labels_the_classes_may_differ(tmp_path: Path) -> None:
    nodes = [folder(tmp_path / "one", ("a", "b"), 10), folder(tmp_path / "two", ("c",), 100)]
    joined = SOURCES.parse({"kind": "joined", "of": nodes, "labels": False})
    index = joined.index()
    assert index.classes == ()
    assert len(index.entries) == 9
    assert {entry.truth for entry in index.entries} == {None}
    with pytest.raises(DataError, match="drop the labels with labels: false"):
        SOURCES.parse({"kind": "joined", "of": nodes}).index()


def test_keeping_labels_changes_no_key(tmp_path: Path) -> None:
    node = {"kind": "joined", "of": [folder(tmp_path / name, ("a", "b"), 10) for name in ("one", "two")]}
    assert "labels" not in SOURCES.parse(node).identity()
    assert SOURCES.parse(node | {"labels": False}).key() != SOURCES.parse(node).key()
