"""CIFAR-10-C and CIFAR-100-C as published: one array a corruption, severities 1 to 5 one after another."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import DataError, near_miss
from clearsight.data.home import locate
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEVERITIES = 5


class CifarC(Source):
    """One corruption at one severity (Hendrycks & Dietterich 2019), as published or as written here.

    The classes are those of the manifest that ``clearsight corrupt`` writes; without one, labels above 9 mean
    CIFAR-100-C.
    """

    kind: Literal["cifar_c"] = "cifar_c"
    purpose: ClassVar[str] = "CIFAR-10-C or CIFAR-100-C as published, one corruption and severity"

    path: Annotated[str, Field(min_length=1)]
    """The folder with ``labels.npy`` and one ``.npy`` file a corruption."""
    corruption: Annotated[str, Field(min_length=1)]
    """File name of the corruption without its ending, such as ``gaussian_noise``."""
    severity: Annotated[int, Field(ge=1, le=5)] = 3
    """1 is weakest, 5 is strongest."""

    def scan(self) -> Index:
        """List the images of this severity.

        Raises:
            DataError: files that are missing, damaged or do not fit together.
        """
        from clearsight.data.benchmark.names import class_order
        from clearsight.data.cifar import NAMES10, NAMES100

        root = locate(self.path)
        total = self._pixels().shape[0]
        labels = _array(root, "labels")
        if labels.shape != (total,) or labels.dtype.kind not in "iu" or total % SEVERITIES:
            raise DataError(
                f"its labels {labels.dtype} {labels.shape} do not fit {total} images at five severities",
                where=str(root),
            )
        largest = int(labels.max()) if total else 0
        written = class_order(root)
        classes = written[0] if written else NAMES10 if largest < len(NAMES10) else NAMES100
        if total and not 0 <= int(labels.min()) <= largest < len(classes):
            raise DataError(f"holds labels outside 0 to {len(classes) - 1}", where=str(root / "labels.npy"))
        count = total // SEVERITIES
        first = (self.severity - 1) * count
        head = f"cifar{len(classes)}_c/{self.corruption}/{self.severity}"
        names = [f"{head}/{number:05d}" for number in range(count)]
        entries = tuple(
            Entry(name, int(labels[first + number]), name, first + number)
            for number, name in enumerate(names)
        )
        return Index(entries, classes)

    def _pixels(self) -> NDArray[np.uint8]:
        root = locate(self.path)
        if not (root / f"{self.corruption}.npy").is_file() or self.corruption == "labels":
            known = sorted(path.stem for path in root.glob("*.npy") if path.stem != "labels")
            raise DataError(
                f"has no corruption '{self.corruption}'",
                where=str(root),
                hint=near_miss(self.corruption, known),
            )
        pixels: NDArray[np.uint8] = _array(root, self.corruption)
        if pixels.dtype.name != "uint8" or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise DataError(
                f"expects uint8 (n, h, w, 3), got {pixels.dtype} {pixels.shape}", where=self.corruption
            )
        return pixels

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Return one image; no other is read from disk."""
        import numpy as np

        return np.array(self._pixels()[int(entry.place)], np.uint8)

    def content(self, entry: Entry) -> bytes:
        """Return the pixels of one image as stored."""
        return bytes(self._pixels()[int(entry.place)].tobytes())


def _array(root: Path, name: str) -> Any:
    path = root / f"{name}.npy"
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return _mapped(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=8)
def _mapped(path: Path, _time: int, _size: int) -> Any:
    """Return a memory map of an array file: 150 MB a corruption are not read for a few images."""
    import numpy as np

    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read as an array: {error}", where=str(path)) from None
