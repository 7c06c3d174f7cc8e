"""`Disk`: where a unit of work leaves its files. The disk itself, or that of a driver on another machine.

Work that goes through it runs on machines that share no file system with the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from clearsight.data.home import replace_file

Change = tuple[Path, bytes | None]
"""A file of the driver and what it is to hold from now on; None: it is to be deleted."""


class Disk(Protocol):
    """Reads, writes and deletes whole files."""

    def read(self, path: Path) -> bytes | None:
        """Return what a file holds; None where it is not there."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, whole or not at all; its folder is made."""

    def remove(self, path: Path) -> None:
        """Delete a file, if it is there."""


class LocalDisk:
    """The disk of this machine."""

    def read(self, path: Path) -> bytes | None:
        """Return what a file holds; None where it is not there."""
        return path.read_bytes() if path.exists() else None

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, whole or not at all; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)

    def remove(self, path: Path) -> None:
        """Delete a file, if it is there."""
        path.unlink(missing_ok=True)

    def change(self, change: Change) -> None:
        """Do what a worker without this disk asked for."""
        path, content = change
        if content is None:
            self.remove(path)
        else:
            self.write(path, content)


LOCAL = LocalDisk()


@dataclass
class SentDisk:
    """The driver's disk as a worker elsewhere sees it: a few files that came with the unit, the rest is sent.

    Attributes:
        held: path -> content of files that may be read.
        post: sends a change to the driver; changes arrive in the order in which they were sent.
    """

    held: Mapping[Path, bytes]
    post: Callable[[Change], None]
    written: set[Path] = field(default_factory=set)

    def read(self, path: Path) -> bytes | None:
        """Return what a file holds; None where it did not come with the unit."""
        return self.held.get(path)

    def write(self, path: Path, content: bytes) -> None:
        """Send a file to the driver."""
        self.written.add(path)
        self.post((path, content))

    def remove(self, path: Path) -> None:
        """Let the driver delete a file that came with the unit or was sent."""
        if path in self.held or path in self.written:
            self.post((path, None))


@dataclass(frozen=True)
class KeptFile:
    """One file on a disk: what a long computation remembers, so that a killed one goes on.

    Attributes:
        path: its last two names say what it is of.
        disk: that it lies on.
    """

    path: Path
    disk: Disk = LOCAL

    def read(self) -> bytes | None:
        """Return what it holds; None where it is not there."""
        return self.disk.read(self.path)

    def write(self, content: bytes) -> None:
        """Replace what it holds."""
        self.disk.write(self.path, content)

    def remove(self) -> None:
        """Delete it, if it is there."""
        self.disk.remove(self.path)

    @property
    def name(self) -> str:
        """Return its name with that of its folder."""
        return f"{self.path.parent.name}/{self.path.name}"
