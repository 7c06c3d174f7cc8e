"""CIFAR-10 and CIFAR-100 as published, binary or python version (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError
from clearsight.data.python_batches import read_batch

PIXELS = 3 * 32 * 32
Split = Literal["train", "test"]
NAMES10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_HUNDRED = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
NAMES100 = tuple(_HUNDRED.split())
"""Class names in the order of the labels, for files that do not bring them along (CIFAR-C)."""


@dataclass(frozen=True)
class Layout:
    """Layout on disk of one published version of a set.

    Attributes:
        folder: folder that the archive unpacks to.
        files: file names of each split.
        names: file of class names.
        column: position of the label in a binary row's head, or its key in a python batch.
        head: bytes before the pixels of a binary row; 0 in the python version.
        names_key: key of the class names in a python meta file.
    """

    folder: str
    files: dict[Split, tuple[str, ...]]
    names: str
    column: int | str
    head: int = 0
    names_key: str = ""


_TEN = tuple(f"data_batch_{number}" for number in range(1, 6))
CIFAR10 = (
    Layout(
        "cifar-10-batches-bin",
        {"train": tuple(f"{name}.bin" for name in _TEN), "test": ("test_batch.bin",)},
        names="batches.meta.txt",
        column=0,
        head=1,
    ),
    Layout(
        "cifar-10-batches-py",
        {"train": _TEN, "test": ("test_batch",)},
        names="batches.meta",
        column="labels",
        names_key="label_names",
    ),
)


def cifar100(labels: Literal["fine", "coarse"]) -> tuple[Layout, ...]:
    """Return the layouts of CIFAR-100 with its 100 classes or its 20 superclasses."""
    return (
        Layout(
            "cifar-100-binary",
            {"train": ("train.bin",), "test": ("test.bin",)},
            names=f"{labels}_label_names.txt",
            column=1 if labels == "fine" else 0,
            head=2,
        ),
        Layout(
            "cifar-100-python",
            {"train": ("train",), "test": ("test",)},
            names="meta",
            column=f"{labels}_labels",
            names_key=f"{labels}_label_names",
        ),
    )


@dataclass(frozen=True)
class Rows:
    """One split: pixels uint8 (n, 3072) as stored (planes R, G, B), labels (n,) and class names."""

    pixels: NDArray[np.uint8]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return one image as uint8 (32, 32, 3)."""
        return np.ascontiguousarray(self.pixels[row].reshape(3, 32, 32).transpose(1, 2, 0))


def rows(root: Path, layouts: Sequence[Layout], split: Split) -> Rows:
    """Return a split of the version that lies in ``root`` or in the folder that its archive unpacks to.

    Raises:
        DataError: no version is there, or its files are missing or damaged.
    """
    for layout in layouts:
        for folder in (root, root / layout.folder):
            if (folder / layout.names).is_file():
                names = (layout.names, *layout.files[split])
                return _rows(folder, _key(layout), layout.files[split], _stamps(folder, names))
    looked = " or ".join(layout.folder for layout in layouts)
    raise DataError(f"holds no {looked}", where=str(root), hint="give the folder that the archive unpacks to")


def _key(layout: Layout) -> tuple[str, int | str, int, str]:
    return layout.names, layout.column, layout.head, layout.names_key


def _stamps(folder: Path, names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    try:
        facts = [(folder / name).stat() for name in names]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(error.filename)) from None
    return tuple((fact.st_mtime_ns, fact.st_size) for fact in facts)


@lru_cache(maxsize=2)
def _rows(
    folder: Path,
    key: tuple[str, int | str, int, str],
    files: tuple[str, ...],
    _times: tuple[tuple[int, int], ...],
) -> Rows:
    names, column, head, names_key = key
    if isinstance(column, int):
        lines = (folder / names).read_text(encoding="utf-8", errors="replace").splitlines()
        classes = [line.strip() for line in lines if line.strip()]
        parts = [_binary(folder / name, head, column) for name in files]
    else:
        classes = _list(read_batch(folder / names), names_key, str, folder / names)
        parts = [_python(folder / name, column) for name in files]
    labels = tuple(label for _, some in parts for label in some)
    if labels and not 0 <= min(labels) <= max(labels) < len(classes):
        raise DataError(f"holds labels outside the {len(classes)} classes", where=str(folder))
    return Rows(np.concatenate([pixels for pixels, _ in parts]), labels, tuple(classes))


def _binary(path: Path, head: int, column: int) -> tuple[NDArray[np.uint8], list[int]]:
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % (head + PIXELS):
        raise DataError(f"is damaged: {data.size} bytes are not a whole number of images", where=str(path))
    table = data.reshape(-1, head + PIXELS)
    return table[:, head:], table[:, column].tolist()


def _python(path: Path, column: str) -> tuple[NDArray[np.uint8], list[int]]:
    batch = read_batch(path)
    pixels, labels = batch.get("data"), _list(batch, column, int, path)
    if not isinstance(pixels, np.ndarray) or pixels.shape != (len(labels), PIXELS):
        raise DataError(f"does not hold {len(labels)} images of {PIXELS} bytes", where=str(path))
    return pixels, labels


def _list(batch: dict[str, Any], key: str, kind: type, path: Path) -> list[Any]:
    value = batch.get(key)
    if not isinstance(value, list) or not value:
        raise DataError(f"holds no list '{key}'", where=str(path))
    items = [item.decode("latin-1") if isinstance(item, bytes) else item for item in value]
    if not all(isinstance(item, kind) for item in items):
        raise DataError(f"its list '{key}' does not hold {kind.__name__}s only", where=str(path))
    return items
