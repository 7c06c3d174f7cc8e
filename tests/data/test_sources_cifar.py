"""The published CIFAR files, made small here byte for byte in their formats."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearsight.data.cifar import NAMES10, NAMES100
from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Sample
from clearsight.data.downloads import DOWNLOADS
from clearsight.data.python_batches import read_batch
from clearsight.data.sources.base import Source
from clearsight.data.sources.cifar10 import Cifar10
from clearsight.data.sources.cifar100 import Cifar100
from clearsight.data.sources.cifar_c import CifarC

COUNT = 12
PIXELS = np.random.Generator(np.random.Philox(key=5)).integers(0, 256, (COUNT, 3072), np.uint8)
LABELS = [number % 10 for number in range(COUNT)]
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85U\x01b\x87Rq\x08"
DTYPE = b"cnumpy\ndtype\nq\tU\x02u1K\x00K\x01\x87Rq\n(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def short(text: bytes) -> bytes:
    """Protocol 2, written by Python 2: SHORT_BINSTRING, then BINPUT."""
    return b"U" + bytes([len(text)]) + text + b"q\x01"


def numbers(values: list[int]) -> bytes:
    return b"]q\x02(" + b"".join(b"K" + bytes([value]) for value in values) + b"e"


def strings(values: list[bytes]) -> bytes:
    return b"]q\x03(" + b"".join(map(short, values)) + b"e"


def array(pixels: np.ndarray) -> bytes:
    shape = b"K" + bytes([len(pixels)]) + b"M" + struct.pack("<H", pixels.shape[1]) + b"\x86"
    raw = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    return RECONSTRUCT + b"(K\x01" + shape + DTYPE + b"\x89" + raw + b"tb"


def batch(items: dict[bytes, bytes]) -> bytes:
    return b"\x80\x02}q\x00(" + b"".join(short(key) + value for key, value in items.items()) + b"u."


def python10(root: Path, names: tuple[str, ...] = ("test_batch",)) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in names:
        content = {
            b"batch_label": short(b"testing batch 1 of 1"),
            b"labels": numbers(LABELS),
            b"data": array(PIXELS),
            b"filenames": strings([b"caf\xe9_s_000001.png"] * COUNT),
        }
        (folder / name).write_bytes(batch(content))
    meta = {
        b"num_cases_per_batch": b"M\x10'",
        b"label_names": strings([n.encode() for n in NAMES10]),
        b"num_vis": b"M\x00\x0c",
    }
    (folder / "batches.meta").write_bytes(batch(meta))
    return root


def binary10(root: Path, names: tuple[str, ...] = ("test_batch.bin",)) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    table = np.concatenate([np.array(LABELS, np.uint8)[:, None], PIXELS], axis=1)
    for name in names:
        (folder / name).write_bytes(table.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(NAMES10) + "\n\n")
    return root


def images(source: Source) -> list[Sample]:
    return [sample for sample in source.read(source.index().entries) if isinstance(sample, Sample)]


def test_both_versions_give_the_same(tmp_path: Path) -> None:
    one, two = (Cifar10(path=str(make(tmp_path / make.__name__))) for make in (python10, binary10))
    assert one.index() == two.index()
    assert one.index().classes == NAMES10
    assert [entry.truth for entry in one.index().entries] == LABELS
    for left, right, row in zip(images(one), images(two), PIXELS, strict=True):
        np.testing.assert_array_equal(left.image, right.image)
        np.testing.assert_array_equal(left.image, row.reshape(3, 32, 32).transpose(1, 2, 0))
    entries = one.index().entries
    assert one.fingerprint(entries) == two.fingerprint(entries)
    inside = Cifar10(path=str(tmp_path / "python10/cifar-10-batches-py"))
    assert inside.index() == one.index()


@pytest.mark.parametrize("make", [python10, binary10])
def test_train_joins_five_batches(make: type, tmp_path: Path) -> None:
    end = "" if make is python10 else ".bin"
    names = tuple(f"data_batch_{number}{end}" for number in range(1, 6))
    make(tmp_path, names)
    source = Cifar10(path=str(tmp_path), split="train")
    assert len(source.index().entries) == 5 * COUNT
    assert source.index().entries[-1].id == f"cifar10/train/{5 * COUNT - 1:05d}"
    next(tmp_path.glob(f"*/{names[2]}")).unlink()
    with pytest.raises(DataError, match="data_batch_3"):
        source.index()


def test_a_fortran_ordered_array(tmp_path: Path) -> None:
    turned = array(PIXELS)[: -(PIXELS.size + 7)]
    assert turned[-1:] == b"\x89"
    raw = b"T" + struct.pack("<i", PIXELS.size) + PIXELS.tobytes(order="F")
    (tmp_path / "b").write_bytes(batch({b"data": turned[:-1] + b"\x88" + raw + b"tb"}))
    np.testing.assert_array_equal(read_batch(tmp_path / "b")["data"], PIXELS)


def test_protocol_zero(tmp_path: Path) -> None:
    text = b"(dp1\nS'num_vis'\np2\nI3072\nsS'label_names'\np3\n(lp4\nS'airplane'\np5\naS'truck'\np6\nas."
    (tmp_path / "b").write_bytes(text)
    assert read_batch(tmp_path / "b") == {"num_vis": 3072, "label_names": ["airplane", "truck"]}


ATTACKS = {
    "system": b"cos\nsystem\n(S'echo owned'\ntR.",
    "builtin": b"\x80\x02c__builtin__\neval\nU\x03 1 \x85R.",
    "inst": b"(S'echo owned'\nios\nsystem\n.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R.",
    "ndarray call": b"\x80\x02cnumpy\nndarray\nK\x01\x85R.",
    "object state": b"\x80\x02}}b.",
    "persistent": b"\x80\x02U\x01aQ.",
    "no dict": b"\x80\x02]q\x00.",
    "deep": b"\x80\x02}U\x01a"
    + RECONSTRUCT
    + b"(K\x01K\x02\x85"
    + DTYPE.replace(b"u1", b"O8")
    + b"\x89]tbs.",
    "short array": batch({b"data": array(PIXELS)}).replace(b"M\x00\x0c", b"M\x00\x0b"),
    "empty": b"",
    "huge tuple": b"\x80\x02)\x87.",
    "unknown memo": b"\x80\x02h\x55.",
    "list key": b"\x80\x02}](K\x01es.",
    "tuple key": b"\x80\x02}K\x01\x85K\x01s.",
    "memory for a memo": b"\x80\x02}r\xff\xff\xff\xff.",
    "memory for a memo, protocol 0": b"(dp999999999999\n.",
    "memory for bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 45) + b".",
    "memory for an array": RECONSTRUCT.replace(b"K\x00\x85", b"J\xff\xff\xff\x7f\x85") + b".",
    "memory for zeros": b"\x80\x02cnumpy\nzeros\nJ\xff\xff\xff\x7f\x85R.",
    "deep tuples": b"\x80\x02}K\x01" + b"\x85" * 1_000_000 + b"K\x01s.",
    "state of a name": b"\x80\x02cnumpy\nndarray\nN}U\x0c__defaults__)s\x86b.",
    "new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "extension": b"\x80\x02\x82\x01.",
}


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_what_a_batch_does_not_need_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(ATTACKS[name])
    with pytest.raises(DataError, match="is not a CIFAR batch"):
        read_batch(tmp_path / "b")


GOOD = batch({b"labels": numbers(LABELS), b"data": array(PIXELS[:1])})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(1, len(GOOD)), changes=st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255))))
@pytest.mark.slow
def test_damaged_batches_raise_data_errors_only(
    cut: int, changes: list[tuple[int, int]], tmp_path: Path
) -> None:
    data = bytearray(GOOD[:cut])
    for place, value in changes:
        data[place % len(data)] = value
    (tmp_path / "b").write_bytes(bytes(data))
    try:
        found = read_batch(tmp_path / "b")
    except DataError:
        return
    assert isinstance(found, dict)


def test_labels_outside_the_classes(tmp_path: Path) -> None:
    binary10(tmp_path)
    (tmp_path / "cifar-10-batches-bin/batches.meta.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match="labels outside the 2 classes"):
        Cifar10(path=str(tmp_path)).index()


def test_damaged_binary_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no cifar-10-batches-bin or cifar-10-batches-py"):
        Cifar10(path=str(tmp_path)).index()
    binary10(tmp_path)
    (tmp_path / "cifar-10-batches-bin/test_batch.bin").write_bytes(b"12345")
    with pytest.raises(DataError, match="not a whole number of images"):
        Cifar10(path=str(tmp_path)).index()


def hundred(root: Path, binary: bool) -> None:
    fine, coarse = [(7 * n) % 100 for n in range(COUNT)], [n % 20 for n in range(COUNT)]
    folder = root / ("cifar-100-binary" if binary else "cifar-100-python")
    folder.mkdir(parents=True)
    supers = [f"super_{number}" for number in range(20)]
    if binary:
        head = np.stack([coarse, fine], axis=1).astype(np.uint8)
        (folder / "test.bin").write_bytes(np.concatenate([head, PIXELS], axis=1).tobytes())
        (folder / "fine_label_names.txt").write_text("\n".join(NAMES100) + "\n")
        (folder / "coarse_label_names.txt").write_text("\n".join(supers) + "\n")
        return
    content = {
        b"fine_labels": numbers(fine),
        b"coarse_labels": numbers(coarse),
        b"data": array(PIXELS),
    }
    (folder / "test").write_bytes(batch(content))
    names = {
        b"fine_label_names": strings([name.encode() for name in NAMES100]),
        b"coarse_label_names": strings([name.encode() for name in supers]),
    }
    (folder / "meta").write_bytes(batch(names))


@pytest.mark.parametrize("labels", ["fine", "coarse"])
def test_cifar100_both_versions(labels: str, tmp_path: Path) -> None:
    found = []
    for binary in (True, False):
        root = tmp_path / str(binary)
        hundred(root, binary)
        source = Cifar100.model_validate({"path": str(root), "labels": labels})
        found.append((source.index(), [sample.image.tobytes() for sample in images(source)]))
    assert found[0] == found[1]
    index = found[0][0]
    assert len(index.classes) == (100 if labels == "fine" else 20)
    assert index.entries[3].truth == (21 if labels == "fine" else 3)


def test_default_paths_are_where_downloads_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path))
    monkeypatch.delenv("CLEARSIGHT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    python10(tmp_path / "data/cifar10")
    assert len(Cifar10().index().entries) == COUNT
    assert DOWNLOADS["cifar10"].folder == "cifar-10-batches-py"


def corrupted(root: Path, top: int) -> None:
    count = 6
    pixels = np.arange(5 * count * 12, dtype=np.uint32).reshape(5 * count, 2, 2, 3).astype(np.uint8)
    np.save(root / "fog.npy", pixels)
    np.save(root / "labels.npy", np.tile(np.linspace(0, top, count).astype(np.int64), 5))


def test_cifar_c_severities_are_blocks(tmp_path: Path) -> None:
    corrupted(tmp_path, 9)
    stored = np.load(tmp_path / "fog.npy", allow_pickle=False)
    for severity in (1, 5):
        source = CifarC(path=str(tmp_path), corruption="fog", severity=severity)
        index = source.index()
        assert index.classes == NAMES10
        assert index.entries[0].id == f"cifar10_c/fog/{severity}/00000"
        first = (severity - 1) * 6
        for row, sample in enumerate(images(source)):
            np.testing.assert_array_equal(sample.image, stored[first + row])


def test_cifar_c_knows_cifar_100_and_its_mistakes(tmp_path: Path) -> None:
    corrupted(tmp_path, 99)
    assert CifarC(path=str(tmp_path), corruption="fog").index().classes == NAMES100
    with pytest.raises(DataError, match="did you mean 'fog'"):
        CifarC(path=str(tmp_path), corruption="fogg").index()
    np.save(tmp_path / "labels.npy", np.zeros(7, np.int64))
    with pytest.raises(DataError, match="do not fit 30 images"):
        CifarC(path=str(tmp_path), corruption="fog").index()
    np.save(tmp_path / "labels.npy", np.array([{}] * 30, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read as an array"):
        CifarC(path=str(tmp_path), corruption="fog").index()


def test_names() -> None:
    assert len(set(NAMES100)) == 100
    assert list(NAMES100) == sorted(NAMES100)
