"""The photographs that ship with scikit-image, available without a download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.errors import DataError
from clearsight.data.sources.base import Entry, Index, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = (
    *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png"),
    *("coffee.png", "coins.png", "color.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png"),
    *("moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg"),
    "text.png",
)
"""Photographs inside scikit-image's wheel (drawings, diagrams and downloads are left out)."""


class Photos(Source):
    """Twenty unlabelled photographs from scikit-image's own wheel, grey ones as equal RGB channels."""

    kind: Literal["photos"] = "photos"
    purpose: ClassVar[str] = "scikit-image's own photographs, unlabelled, always there"

    @property
    def everywhere(self) -> bool:
        """Return True: every machine can make them."""
        return True

    def scan(self) -> Index:
        """List the photographs that the installed scikit-image holds."""
        root = folder()
        present = [name for name in NAMES if (root / name).is_file()]
        return Index(tuple(Entry(f"photos/{Path(n).stem}", None, n, n) for n in present), ())

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one photograph."""
        from clearsight.data.media.images import decode

        return decode(folder() / str(entry.place))

    def content(self, entry: Entry) -> bytes:
        """Return the bytes of one file."""
        from clearsight.data.media.files import content

        return content(folder() / str(entry.place))


def folder() -> Path:
    """Return scikit-image's data folder, without importing scikit-image.

    Raises:
        DataError: scikit-image is not installed.
    """
    found = find_spec("skimage")
    if found is None or found.origin is None:
        raise DataError("scikit-image is not installed", hint="pip install scikit-image")
    return Path(found.origin).parent / "data"
