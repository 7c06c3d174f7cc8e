"""Images in a folder of an object store, listed in one go, with the ids that a local folder gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.text import printable
from clearsight.data.media.files import none_found
from clearsight.data.media.walk import unwanted
from clearsight.data.remote.copies import place
from clearsight.data.remote.store import Listed, Store, last_name
from clearsight.data.sources.entries import Entry, Index

WILD = "*["
"""What makes a glob of an address; a question mark begins the query of a URL."""


def labelled_at(address: str) -> Index:
    """List the images in the class folders below an address, as `clearsight.data.sources.folder.labelled`.

    Raises:
        DataError: the store cannot be listed, or there are no class folders.
    """
    from clearsight.data.benchmark.names import MANIFEST, classes_in
    from clearsight.data.sources.folder import labelled_folders

    files = Store(address).listing()
    heads = {each.name.partition("/")[0] for each in files if "/" in each.name}
    folders = sorted(name for name in heads if not name.startswith("."))
    text = _manifest(address, MANIFEST)
    written = None if text is None else classes_in(text, f"{address}/{MANIFEST}")
    classes, labels = labelled_folders(folders, written, address)
    entries: list[Entry] = []
    passed_over = [
        Skipped(printable(each.name), "lies beside the class folders, in no class")
        for each in files
        if each.name.partition("/")[0] not in labels
    ]
    for folder, label in labels.items():
        mine = [each for each in files if each.name.startswith(f"{folder}/")]
        for each, name in _wanted(mine, passed_over):
            entries.append(Entry(name, label, name, place(each.version, each.name)))
    return Index(tuple(entries), classes, tuple(passed_over))


def _manifest(address: str, name: str) -> str | None:
    """Return the manifest of a benchmark that lies at an address, or one or two levels above it."""
    for _ in range(3):
        store = Store(address)
        if store.version(name) is not None:
            return store.read(name).decode(errors="replace")
        address, _, last = address.rpartition("/")
        if not last or address.endswith("/") or "/" not in address.partition("://")[2]:
            break
    return None


def kind_at(address: str) -> str:
    """Return the kind of source that an address stands for: ``parquet``, ``tar``, ``folder`` or ``files``.

    Raises:
        DataError: the store cannot be listed.
    """
    for kind in ("parquet", "tar"):
        if address.endswith(f".{kind}"):
            return kind
    if any(c in address for c in WILD):
        return "files"
    classed = any("/" in each.name and not each.name.startswith(".") for each in Store(address).listing())
    return "folder" if classed else "files"


def files_at(address: str) -> Index:
    """List loose images: of a file, a folder or a glob. Their places lie below `root_of` the address.

    Raises:
        DataError: the store cannot be listed, or holds none.
    """
    root, pattern = _parts(address)
    store = Store(root)
    if not pattern and (version := store.version()) is not None:
        name = printable(last_name(root))
        return Index((Entry(name, None, name, place(version, "")),), ())
    passed_over: list[Skipped] = []
    matches = _matches(pattern)
    files = [each for each in store.listing() if matches.fullmatch(each.name)]
    entries = tuple(
        Entry(name, None, name, place(each.version, each.name)) for each, name in _wanted(files, passed_over)
    )
    if not entries:
        raise none_found("images", address, passed_over)
    return Index(entries, (), tuple(passed_over))


def root_of(address: str) -> str:
    """Return what the places of `files_at` lie below, without asking whether the address is a file's."""
    return _parts(address)[0]


def _parts(address: str) -> tuple[str, str]:
    """Split a glob into the address before its first wild part and the rest."""
    scheme, _, path = address.partition("://")
    parts = PurePosixPath(path).parts
    wild = next((number for number, part in enumerate(parts) if any(c in part for c in WILD)), len(parts))
    return f"{scheme}://{'/'.join(parts[:wild])}", "/".join(parts[wild:])


def _matches(pattern: str) -> re.Pattern[str]:
    if not pattern:
        return re.compile(r".*", re.DOTALL)
    from fsspec.utils import glob_translate

    try:
        return re.compile(glob_translate(pattern))
    except (ValueError, re.error) as error:
        raise DataError(f"is not a valid glob: {error}", where=pattern) from None


def _wanted(files: Iterable[Listed], passed_over: list[Skipped]) -> list[tuple[Listed, str]]:
    """Return the images among files, with their names in ids; note the others."""
    from clearsight.data.media.images import suffixes

    endings, found = suffixes(), []
    for each in files:
        name = printable(each.name)
        if reason := unwanted(each.name, endings):
            passed_over.append(Skipped(name, reason))
        else:
            found.append((each, name))
    return found
