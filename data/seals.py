"""`Seal`: what a set of files belongs to, and the checksum of each, so that what was written is what is read.

A file of results is trusted only if its bytes match its seal, and if the seal says that they belong to what
is asked for. Seals detect accidents (a bad disk, a copy into the wrong folder, a truncated write, a mistaken
edit), not forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import RunError
from clearsight.data.disk import LOCAL, Disk

if TYPE_CHECKING:
    from clearsight.data.contract.run_folder import RunFolder
    from clearsight.data.sources.entries import Entry

AGAIN = "run the same config again: it is measured again"


@dataclass
class Seal:
    """Vouches for files below a folder; written after them, it says that they are complete.

    Attributes:
        root: folder that the files lie below.
        path: of the seal itself, a JSON file.
        about: what the files belong to. Opening a seal that says otherwise is refused.
        files: path below ``root`` -> sha256.
        disk: where files are written; they are read from the disk of this machine.
    """

    root: Path
    path: Path
    about: Mapping[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    disk: Disk = LOCAL

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, whole or not at all, and vouch for it."""
        self.disk.write(path, content)
        self.vouch(path, content)

    def vouch(self, path: Path, content: bytes) -> None:
        """Vouch for a file that holds this."""
        self.files[self._name(path)] = hashlib.sha256(content).hexdigest()

    def close(self) -> None:
        """Write the seal."""
        told = {"about": dict(self.about), "files": self.files}
        self.disk.write(
            self.path, (json.dumps(told | {"sha256": _key(told)}, indent=1, allow_nan=False) + "\n").encode()
        )

    def opened(self) -> Seal:
        """Read the seal, and return it. The files are looked at by `read` and `check`.

        Raises:
            RunError: it is missing, damaged, or belongs to something else.
        """
        try:
            entry = json.loads(self.path.read_bytes())
            claimed = entry.pop("sha256")
            whole = claimed == _key(entry)
            about, files = dict(entry["about"]), dict(entry["files"])
        except OSError as error:
            raise self._refused(self.path, error.strerror or str(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            whole, about, files = False, {}, {}
        if not whole:
            raise self._refused(self.path, "is damaged, or was written by an older version")
        for name, value in self.about.items():
            if about.get(name) != value:
                raise self._refused(self.path, f"is that of another {name}")
        self.files = files
        return self

    def checksum(self, path: Path) -> str | None:
        """Return the sha256 that a file must have; None where the seal does not vouch for it."""
        return self.files.get(self._name(path))

    def read(self, path: Path) -> bytes:
        """Return what a file holds.

        Raises:
            RunError: the seal does not vouch for it, or it is not there, or holds something else.
        """
        wanted = self.checksum(path)
        if wanted is None:
            raise self._refused(path, f"is not vouched for by {self.path.name}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._refused(path, error.strerror or str(error)) from None
        if hashlib.sha256(content).hexdigest() != wanted:
            raise self._refused(path, "is damaged, or was changed: its checksum differs")
        return content

    def check(self) -> None:
        """Read all files.

        Raises:
            RunError: the first that is not there, or holds something else.
        """
        for name in self.files:
            self.read(self.root / name)

    def intact(self) -> bool:
        """Return whether the seal is there, belongs here, and every file holds what it says."""
        try:
            self.opened().check()
        except RunError:
            return False
        return True

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _refused(self, path: Path, reason: str) -> RunError:
        return RunError(reason, where=str(path), hint=AGAIN)


def _key(entry: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True, allow_nan=False).encode()).hexdigest()


def chunk_seal(
    folder: RunFolder, key: str, number: int, images: str | None = None, disk: Disk = LOCAL
) -> Seal:
    """Return the seal of a chunk of a cell, to be filled or opened.

    Args:
        folder: of the run.
        key: of the cell.
        number: of the chunk.
        images: key of the images in it, from `images_key`; None where they are not known.
        disk: where its files are written.
    """
    about = {"cell": key, "chunk": number} | ({} if images is None else {"images": images})
    return Seal(folder.path, folder.seal(key, number), about, disk=disk)


def images_key(entries: Sequence[Entry]) -> str:
    """Return a key of the ids and labels of images, in their order."""
    return hashlib.sha256(
        json.dumps([[e.id, e.truth] for e in entries], allow_nan=False).encode()
    ).hexdigest()


def stored(path: Path) -> str | None:
    """Return the sha256 of a file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def wrapped(content: bytes, name: str) -> bytes:
    """Return the content of a file that vouches for itself: a checksum of its name and content first."""
    return _digest(content, name) + content


def unwrapped(data: bytes, name: str) -> bytes | None:
    """Return what `wrapped` was given; None where the file is damaged, or has the name of another."""
    size = hashlib.sha256().digest_size
    content = data[size:]
    return content if _digest(content, name) == data[:size] else None


def _digest(content: bytes, name: str) -> bytes:
    total = hashlib.sha256(name.encode())
    total.update(content)
    return total.digest()
