"""The development data sets as they really are (see CLEARSIGHT_DATA)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from clearsight.data.cifar import NAMES10
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.base import HoldOut
from clearsight.data.sources.parquet import Parquet

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif("CLEARSIGHT_DATA" not in os.environ, reason="CLEARSIGHT_DATA is not set"),
]
SETS = {
    "cifar10_jpeg75_train": (50_000, 10, (32, 32)),
    "cifar10_jpeg75_test": (5_000, 10, (32, 32)),
    "cifar10_exact_train4656": (4_656, 10, (32, 32)),
    "tinyimagenet20_train": (10_000, 20, (64, 64)),
    "gtsrb43_748tracks_train": (7_479, 43, None),
    "gtsrb43_419tracks_32px_train": (4_190, 43, (32, 32)),
    "gtsrb43_official_test_32px_2500": (2_500, 43, (32, 32)),
    "imagenette224_train": (1_300, 10, (224, 224)),
    "imagenette224_val": (300, 10, (224, 224)),
}


def source(name: str, **fields: object) -> Parquet:
    if not (Path(os.environ["CLEARSIGHT_DATA"]) / f"{name}.parquet").is_file():
        pytest.skip(f"{name} is not in CLEARSIGHT_DATA")
    return Parquet.model_validate({"path": f"{name}.parquet"} | fields)


@pytest.mark.parametrize("name", sorted(SETS))
def test_real_files(name: str) -> None:
    rows, classes, shape = SETS[name]
    found = source(name)
    index = found.index()
    assert len(index.entries) == rows
    assert len(index.classes) == classes
    assert {entry.truth for entry in index.entries} == set(range(classes))
    for sample in found.read(index.entries[:: rows // 25]):
        assert isinstance(sample, Sample)
        assert shape is None or sample.image.shape == (*shape, 3)
        assert sample.image.std() > 0


def test_cifar_class_names_agree() -> None:
    assert source("cifar10_exact_train4656").index().classes == NAMES10


def test_jpeg_set_is_the_exact_one_after_compression() -> None:
    exact, lossy = source("cifar10_exact_train4656"), source("cifar10_jpeg75_train")
    twin = {entry.name: entry for entry in lossy.index().entries}
    entries = [entry for entry in exact.index().entries[:50] if entry.name in twin]
    assert entries
    for one, two in zip(
        exact.read(entries), lossy.read([twin[entry.name] for entry in entries]), strict=True
    ):
        assert isinstance(one, Sample)
        assert isinstance(two, Sample)
        assert one.truth == two.truth
        assert np.abs(one.image.astype(int) - two.image).mean() < 20


def test_road_signs_are_split_by_track() -> None:
    rule = HoldOut(fraction=0.2, group=r"^(\d+/\d+)_")
    sides = [
        source("gtsrb43_748tracks_train", hold_out=rule, subset=side).index().entries
        for side in ("train", "held_out")
    ]
    tracks = [{entry.name.rsplit("_", 1)[0] for entry in side} for side in sides]
    assert not tracks[0] & tracks[1]
    assert len(sides[0]) + len(sides[1]) == 7_479
    assert 0.1 < len(sides[1]) / 7_479 < 0.35
    assert len({entry.truth for entry in sides[1]}) == 43


def test_last_fifty_of_each_class() -> None:
    held = source("tinyimagenet20_train", hold_out={"per_class": 50}, subset="held_out").index()
    assert np.bincount([entry.truth or 0 for entry in held.entries]).tolist() == [50] * 20


def test_synsets_map_to_imagenet_indices() -> None:
    found = source("imagenette224_val", label_map={"n01440764": 0, "n03888257": 701}, take=20).index()
    assert np.unique([entry.truth or 0 for entry in found.entries]).tolist() == [0, 701]
    assert found.classes[701] == "n03888257_parachute"


def test_tracks_of_the_two_files_of_road_signs_are_all_different() -> None:
    tracks = [
        {entry.name.rsplit("_", 1)[0] for entry in source(name).index().entries}
        for name in ("gtsrb43_748tracks_train", "gtsrb43_419tracks_32px_train")
    ]
    assert [len(each) for each in tracks] == [748, 419]
    assert not tracks[0] & tracks[1]


def test_belgian_signs_have_the_german_numbers() -> None:
    index = source("belgiumts_in_gtsrb_numbering").index()
    assert len(index.entries) == 448
    assert index.classes == source("gtsrb43_748tracks_train").index().classes
    assert len({entry.truth for entry in index.entries}) == 18
