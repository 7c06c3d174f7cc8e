"""Local copies of files in object stores: each is fetched once, when it is first needed.

A copy lies in ``$CLEARSIGHT_HOME/remote`` under a name made of its address and version, so that a file that
has been replaced in the store is fetched anew, and what was fetched serves hashing, decoding, all conditions
and later runs.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from clearsight.data.contract.errors import DataError
from clearsight.data.home import home, replace_file
from clearsight.data.remote.store import Store, joined, last_name

MARK = ":"
"""Between the version of a file and its name, in the place of an `Entry`."""
_SEEN: dict[tuple[str, Path], Path] = {}
"""Address and home -> the copy that `file_copy` found last."""


def file_copy(address: str) -> Path:
    """Return a local copy of one file, as it is in the store now.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    store = Store(address)
    version = store.version()
    if version is None:
        raise DataError("no such file", where=address, hint="check the address")
    path = placed_copy(address, place(version, ""))
    _SEEN[address, home()] = path
    return path


def seen_copy(address: str) -> Path:
    """Return what `file_copy` returned last in this process."""
    return _SEEN.get((address, home())) or file_copy(address)


def place(version: str, name: str) -> str:
    """Return what an `Entry` remembers of a file below an address, for `placed_copy`."""
    return f"{hashlib.sha256(version.encode()).hexdigest()[:16]}{MARK}{name}"


def placed_copy(address: str, told: str) -> Path:
    """Return the local copy of a file below an address.

    Args:
        address: of the folder.
        told: what `place` returned.

    Raises:
        DataError: it cannot be read.
    """
    version, _, name = told.partition(MARK)
    path = _path(joined(address, name), version)
    return path if path.is_file() else _kept(path, _store(address).read(name))


@lru_cache(maxsize=64)
def _store(address: str) -> Store:
    return Store(address)


def _path(address: str, version: str) -> Path:
    """Return where a copy lies: under its own name, which tells formats and goes into ids."""
    key = hashlib.sha256(f"{address} {version}".encode()).hexdigest()
    return home() / "remote" / key[:2] / key[2:34] / last_name(address)


def _kept(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    return path
