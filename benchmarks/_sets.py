"""Images of the standard test sets, read out of .tar files without unpacking them."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import torch

from clearsight.data.contract.errors import DataError
from clearsight.data.media.images import decode, suffixes, to_float

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Image:
    """One image: its name in the archive, and float32 pixels (1, c, h, w) in [0, 1], c = 1 or 3."""

    name: str
    image: Tensor


def images(
    folder: Path, archive: str, *, count: int | None = None, ending: str = "", grey: bool = False
) -> list[Image]:
    """Return the images of an archive in the order of their names.

    Args:
        folder: folder of the archives.
        archive: file name.
        count: most images, evenly spaced over the sorted names; None: all.
        ending: keep names whose stem ends with this, or that lie in a folder of this name.
        grey: return one channel, for sets whose files are grey.

    Raises:
        DataError: no such archive, or nothing in it fits.
    """
    path = folder / archive
    if not path.is_file():
        raise DataError("no such archive", where=str(path), hint="set --data or CLEARSIGHT_DATA")
    with tarfile.open(path) as tar:
        members = sorted((m for m in tar if m.isfile() and _fits(m.name, ending)), key=lambda m: m.name)
        chosen = [members[i] for i in spaced(len(members), count)]
        found = [Image(m.name, _pixels(tar, m, grey=grey)) for m in chosen]
    if not found:
        raise DataError(f"no images '{ending}' in it", where=str(path))
    return found


def spaced(total: int, count: int | None) -> list[int]:
    """Return ``count`` positions spread evenly over ``total``; all of them for None."""
    if count is None or count >= total:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def _fits(name: str, ending: str) -> bool:
    path = PurePosixPath(name)
    if path.suffix.lower() not in suffixes() or path.name.startswith("."):
        return False
    return path.stem.endswith(ending) or ending in path.parts[:-1]


def _pixels(tar: tarfile.TarFile, member: tarfile.TarInfo, *, grey: bool) -> Tensor:
    file = tar.extractfile(member)
    if file is None:
        raise DataError("cannot be read", where=member.name)
    image = torch.from_numpy(to_float(decode(file.read(), name=member.name)[None]))
    return image[:, :1] if grey else image
