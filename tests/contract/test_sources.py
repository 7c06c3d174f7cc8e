"""Every kind of source keeps the promises of `clearsight.data.sources.base`; a new file is tested by being there."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ClearsightError, DataError
from clearsight.data.contract.sample import Sample, Skipped
from clearsight.data.media.images import encode_png
from clearsight.data.sources.base import HoldOut, Source

CLASSES = ("cat", "dog", "fox")
PER_CLASS = 4


def image(number: int, shade: int, shape: tuple[int, int] = (20, 24)) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=number + 1000 * shade))
    return rng.integers(0, 256, (*shape, 3), np.uint8)


def encoded(number: int, shade: int, broken: bool) -> bytes:
    data = encode_png(image(number, shade))
    return data[: len(data) // 2] if broken and number == 1 else data


def build_parquet(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    labels = [number % len(CLASSES) for number in range(PER_CLASS * len(CLASSES))]
    rows = [
        {"bytes": encoded(n, shade, broken), "path": f"{CLASSES[label]}/t{n // 6}_{n}.png"}
        for n, label in enumerate(labels)
    ]
    names = '{"info": {"features": {"label": {"names": ["cat", "dog", "fox"], "_type": "ClassLabel"}}}}'
    table = pa.table({"image": rows, "label": labels}).replace_schema_metadata({"huggingface": names})
    pq.write_table(table, root / "set.parquet", row_group_size=5)
    return {"path": str(root / "set.parquet")}


def build_folder(root: Path, shade: int, broken: bool, below: str = "") -> dict[str, Any]:
    for number in range(PER_CLASS * len(CLASSES)):
        place = root / below / CLASSES[number % len(CLASSES)]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:02d}.png").write_bytes(encoded(number, shade, broken))
    (root / below / "readme.txt").write_text("not an image")
    return {"path": str(root)}


def build_tar(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    with tarfile.open(root / "set.tar", "w") as archive:
        for number in range(PER_CLASS * len(CLASSES)):
            content = encoded(number, shade, broken)
            info = tarfile.TarInfo(f"{CLASSES[number % len(CLASSES)]}/{number:02d}.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return {"path": str(root / "set.tar")}


def build_coco(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    count = PER_CLASS * len(CLASSES)
    (root / "set" / "below").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (root / "set" / "below" / f"{number:02d}.png").write_bytes(encoded(number, shade, broken))
    told = {
        "images": [
            {"id": n, "file_name": f"below/{n:02d}.png", "height": 20, "width": 24} for n in range(count)
        ],
        "categories": [{"id": 7 + n, "name": name} for n, name in enumerate(CLASSES)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 7 + n % 3, "bbox": [n, 2, 5, 6], "area": 30, "iscrowd": 0}
            for n in range(count - 1)
        ],
    }
    (root / "set" / "annotations.json").write_text(json.dumps(told))
    return {"path": str(root / "set")}


def build_imagenet_c(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    build_folder(root, shade, broken, "fog/2")
    return {"path": str(root), "corruption": "fog", "severity": 2}


def build_cifar(root: Path, shade: int, head: int, names: str, files: tuple[str, ...]) -> dict[str, Any]:
    (root / names).write_text("\n".join(CLASSES) + "\n\n")
    for part, name in enumerate(files):
        rows = b""
        for number in range(PER_CLASS * len(CLASSES)):
            pixels = image(number + 100 * part, shade, (32, 32)).transpose(2, 0, 1)
            rows += bytes([number % len(CLASSES)] * head) + pixels.tobytes()
        (root / name).write_bytes(rows)
    return {"path": str(root)}


def build_cifar10(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    return build_cifar(root, shade, 1, "batches.meta.txt", ("test_batch.bin",))


def build_cifar100(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    return build_cifar(root, shade, 2, "fine_label_names.txt", ("test.bin",))


def build_cifar_c(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    count = PER_CLASS * len(CLASSES)
    pixels = np.stack([image(number, shade, (32, 32)) for number in range(5 * count)])
    np.save(root / "fog.npy", pixels)
    np.save(root / "labels.npy", np.tile(np.arange(count) % len(CLASSES), 5))
    return {"path": str(root), "corruption": "fog", "severity": 2}


@dataclass(frozen=True)
class Case:
    """How to build a small set of a kind; ``files`` says whether it is built of encoded files."""

    build: Callable[[Path, int, bool], dict[str, Any]]
    files: bool = False
    other: dict[str, Any] = field(default_factory=dict)
    """For sets without a path: fields that give other images."""


def build_joined(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    for name in ("one", "two"):
        (root / name).mkdir(exist_ok=True)
    one = {"kind": "parquet"} | build_parquet(root / "one", shade, broken)
    return {"of": [one, {"kind": "folder"} | build_folder(root / "two", shade, False)]}


def build_poisoned(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    inner = {"kind": "folder"} | build_folder(root, shade, False)
    return {"of": inner, "poison": {"kind": "patch"}, "target": "dog", "share": 0.25}


def build_sifted(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    inner = {"kind": "folder"} | build_folder(root / "images", shade, False)
    rows = ["id,label,score,removed", "fox/02.png,2,0.5,no"]
    (root / "images.csv").write_text("\n".join(rows) + "\n")
    return {"of": inner, "removed": str(root / "images.csv")}


def build_hub(root: Path, shade: int, broken: bool) -> dict[str, Any]:
    commit = f"{shade}{int(broken)}".ljust(40, "0")
    build_folder(
        Path(os.environ["HF_HUB_CACHE"]) / f"datasets--me--pets/snapshots/{commit}", shade, broken, "test"
    )
    return {"repo": "me/pets", "split": "test", "revision": commit}


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


GENERATED = Case(lambda root, shade, broken: {})
"""Of kinds that make their images themselves, from the defaults of their fields."""
CASES: dict[str, Case] = {
    "parquet": Case(build_parquet, files=True),
    "folder": Case(build_folder, files=True),
    "files": Case(build_folder, files=True),
    "imagenet_c": Case(build_imagenet_c, files=True),
    "cifar10": Case(build_cifar10),
    "cifar100": Case(build_cifar100),
    "cifar_c": Case(build_cifar_c),
    "tar": Case(build_tar, files=True),
    "coco": Case(build_coco, files=True),
    "hub": Case(build_hub, files=True),
    "joined": Case(build_joined),
    "poisoned": Case(build_poisoned),
    "sifted": Case(build_sifted),
    "signs": Case(lambda root, shade, broken: {"count": 40}, other={"pixels": 48}),
}
"""A kind that is not here is treated as `GENERATED`; one that reads files needs a row."""
KINDS = sorted(SOURCES.kinds)
LABELLED = [kind for kind in KINDS if kind not in ("files", "photos", "tar")]
WITH_PATH = [kind for kind in KINDS if "path" in SOURCES[kind].model_fields]


def make(kind: str, root: Path, shade: int = 0, broken: bool = False, **fields: Any) -> Source:
    root.mkdir(parents=True, exist_ok=True)
    told = {"kind": kind} | CASES.get(kind, GENERATED).build(root, shade, broken)
    missing = [name for name, about in SOURCES[kind].model_fields.items() if about.is_required()]
    assert set(missing) <= set(told), f"add a row for '{kind}' to CASES: it needs {missing}"
    return SOURCES.parse(told | fields)


@pytest.mark.parametrize("kind", KINDS)
def test_index_is_stable_and_ids_are_unique(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path)
    index = source.index()
    assert index == source.index() == SOURCES.parse(source.model_dump()).index()
    assert index.entries
    assert len({entry.id for entry in index.entries}) == len(index.entries)
    for entry in index.entries:
        assert entry.truth is None if not index.classes else 0 <= (entry.truth or 0) < len(index.classes)


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_rgb_and_alone_equal_to_in_a_batch(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path)
    entries = source.index().entries[:9]
    together = source.read(entries)
    for entry, sample in zip(entries, together, strict=True):
        assert isinstance(sample, Sample)
        assert (sample.id, sample.truth) == (entry.id, entry.truth)
        assert sample.image.dtype == np.uint8
        assert sample.image.ndim == 3
        assert sample.image.shape[2] == 3
        (alone,) = source.read([entry])
        assert isinstance(alone, Sample)
        np.testing.assert_array_equal(alone.image, sample.image)
    if kind != "photos":
        first, second = together[:2]
        assert isinstance(first, Sample)
        assert isinstance(second, Sample)
        assert not np.array_equal(first.image, second.image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", [{"per_class": 1}, {"fraction": 0.3}])
def test_subsets_are_disjoint_and_complete(kind: str, rule: dict[str, float], tmp_path: Path) -> None:
    fields: dict[str, Any] = {"hold_out": rule}
    whole = make(kind, tmp_path).index()
    train = make(kind, tmp_path, subset="train", **fields).index()
    held = make(kind, tmp_path, subset="held_out", **fields).index()
    ids = [{entry.id for entry in index.entries} for index in (whole, train, held)]
    assert ids[1] | ids[2] == ids[0]
    assert not ids[1] & ids[2]
    assert ids[2]
    order = {entry.id: place for place, entry in enumerate(whole.entries)}
    for index in (train, held):
        places = [order[entry.id] for entry in index.entries]
        assert places == sorted(places)
        assert index.classes == whole.classes


@pytest.mark.parametrize("kind", LABELLED)
def test_take_is_even_over_the_classes(kind: str, tmp_path: Path) -> None:
    index = make(kind, tmp_path, take=6).index()
    assert len(index.entries) == 6
    counts = np.bincount([entry.truth or 0 for entry in index.entries])
    assert counts.max() - counts[counts > 0].min() <= 1
    fewer = make(kind, tmp_path, take=3).index()
    assert {entry.id for entry in fewer.entries} < {entry.id for entry in index.entries}


@pytest.mark.parametrize("kind", KINDS)
def test_size_gives_squares(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path, size=17, crop=0.875, take=3)
    for sample in source.read(source.index().entries):
        assert isinstance(sample, Sample)
        assert sample.image.shape == (17, 17, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprint_follows_content_not_place(kind: str, tmp_path: Path) -> None:
    here = make(kind, tmp_path / "here")
    entries = here.index().entries[:8]
    key = here.fingerprint(entries)
    assert len(key) == 64
    assert key == here.fingerprint(entries)
    there = make(kind, tmp_path / "there")
    assert there.fingerprint(there.index().entries[:8]) == key
    assert here.fingerprint(entries[1:]) != key
    assert here.fingerprint(entries[::-1]) != key
    assert make(kind, tmp_path / "here", size=16).fingerprint(entries) != key
    if kind in WITH_PATH:
        other = make(kind, tmp_path / "other", shade=1)
        assert other.fingerprint(other.index().entries[:8]) != key
    elif kind in CASES and CASES[kind].other:
        other = make(kind, tmp_path, **CASES[kind].other)
        assert other.fingerprint(entries) != key


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in CASES and CASES[kind].files])
def test_a_broken_image_is_skipped_with_its_reason(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path, broken=True)
    entries = source.index().entries
    found = source.read(entries)
    broken = [sample for sample in found if isinstance(sample, Skipped)]
    assert len(found) == len(entries)
    assert len(broken) == 1
    assert "damaged" in broken[0].reason
    assert "\n" not in broken[0].reason


@pytest.mark.parametrize("kind", WITH_PATH)
def test_a_missing_path_is_a_data_error(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path, path=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no such file or folder"):
        source.index()


@pytest.mark.parametrize("kind", WITH_PATH)
def test_a_path_of_the_wrong_sort_is_a_clear_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    source = make(kind, tmp_path, path=str(tmp_path / "wrong"))
    with pytest.raises(ClearsightError) as caught:
        source.index()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_key_survives_a_round_trip(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path, hold_out=HoldOut(fraction=0.25), subset="train", crop="7/8")
    assert SOURCES.parse(source.model_dump(mode="json")).key() == source.key()
    assert source.purpose
