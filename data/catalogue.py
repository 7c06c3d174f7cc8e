"""The registries of this room, and the source that a path stands for."""

from __future__ import annotations

from clearsight.data.contract.registry import Registry
from clearsight.data.corruptions.base import Corruption
from clearsight.data.home import is_address, locate
from clearsight.data.media.files import subfolders
from clearsight.data.poisons.base import Poison
from clearsight.data.sources.base import Source

CORRUPTIONS = Registry("corruption", Corruption, "clearsight.data.corruptions")
POISONS = Registry("poison", Poison, "clearsight.data.poisons")
SOURCES = Registry("source", Source, "clearsight.data.sources")


def images_at(path: str, size: int | None = None) -> Source:
    """Return the source that a path stands for: a parquet file, a folder of class folders, or loose images.

    Args:
        path: a file or folder, see `clearsight.data.home.locate`; or the address of one.
        size: resize the short side to so many pixels and cut the centre square.

    Raises:
        DataError: there is no such file or folder.
    """
    if is_address(path):
        from clearsight.data.remote.folders import kind_at

        return SOURCES.parse({"kind": kind_at(path), "path": path, "size": size})
    place = locate(path)
    fields = {"path": str(place), "size": size}
    if place.is_file() and place.suffix == ".parquet":
        return SOURCES.parse({"kind": "parquet", **fields})
    classed = place.is_dir() and bool(subfolders(place))
    return SOURCES.parse({"kind": "folder" if classed else "files", **fields})
