"""`outlet`: a folder of results that belongs to an address, so that commands write into object stores.

A command works in a folder of this machine, which begins with what lies at the address and is sent there
while the command works. Whatever goes on after a kill, here or elsewhere, goes on from what was sent.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.home import home, is_address, replace_file
from clearsight.data.remote.store import Store, joined, last_name

SEND_SECONDS = 20.0
"""Seconds between two times that what is new is sent."""
TOGETHER = 8
"""Files that are sent or fetched at a time."""
LAST = ("manifest.json", "DONE")
"""Names of files that say that all others are there."""
State = tuple[int, int]
"""Size and time of a local file."""


@contextmanager
def outlet(out: str, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Path]:
    """Yield the folder to write into: ``out`` itself, or of an address a folder that is sent there.

    Args:
        out: a folder or an address. At most one command may write to an address at a time.
        wanted: which files at the address, by their path below it, the command may go on from.

    Raises:
        DataError: the store refuses, or does not answer.
    """
    if not is_address(out):
        yield Path(out)
        return
    sent = _Sent(out)
    sent.fetch(wanted)
    stop = threading.Event()
    sender = threading.Thread(target=sent.send_until, args=(stop,), daemon=True)
    sender.start()
    try:
        yield sent.folder
    finally:
        stop.set()
        sender.join()
        sent.send()


class _Sent:
    """A local folder and what of it lies at an address."""

    def __init__(self, address: str) -> None:
        self.store = Store(address)
        if self.store.scheme.startswith("http"):
            raise ConfigError("a web server takes no results", where=address, hint="give s3:// or gs://")
        key = hashlib.sha256(self.store.address.encode()).hexdigest()[:32]
        self.folder = home() / "remote" / "out" / key / last_name(self.store.address)
        self.record = self.folder.with_name(".record.json")
        self.known: dict[str, State] = {}

    def fetch(self, wanted: Callable[[str], bool]) -> None:
        """Make the folder hold what lies at the address; files that were never sent stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = _read(self.record)
        listed = self.store.listing()
        # Others may write to the address: a name must not lead out of the folder.
        if odd := [each.name for each in listed if ".." in PurePosixPath(each.name).parts]:
            raise DataError(
                "is no name of a file", where=joined(self.store.address, odd[0]), hint="delete it"
            )
        there = {each.name: each.version for each in listed if wanted(each.name)}
        local = self._local()
        for name in before.keys() - there.keys():
            if wanted(name) and name in local:
                (self.folder / name).unlink()
        new = [name for name, version in there.items() if before.get(name) != version or name not in local]

        def bring(name: str) -> None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, self.store.read(name))

        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(bring, new))
        self._note(there)
        self.known = {name: state for name, state in self._local().items() if name in there}

    def send(self) -> None:
        """Send files that are new or changed, those last that vouch for others; delete what is gone."""
        now = self._local()
        gone = [name for name in self.known if name not in now]
        new = [name for name, state in now.items() if self.known.get(name) != state]
        for name in gone:
            self.store.delete(name)
            del self.known[name]
        new.sort(key=lambda name: (Path(name).name in LAST, now[name][1], name))
        vouching = [name for name in new if _vouches(name)]
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(self._put, (name for name in new if not _vouches(name))))
        for name in vouching:
            self._put(name)
        for name in new:
            self.known[name] = now[name]
        if new or gone:
            self._note({each.name: each.version for each in self.store.listing() if each.name in self.known})

    def send_until(self, stop: threading.Event) -> None:
        """Send now and then; what a store does not take is sent, or told of, at the end."""
        while not stop.wait(SEND_SECONDS):
            try:
                self.send()
            except (DataError, OSError):
                continue

    def _put(self, name: str) -> None:
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            # Deleted since it was listed: the next time it is among those that are gone.
            return
        self.store.write(name, content)

    def _local(self) -> dict[str, State]:
        found = {}
        for path in self.folder.rglob("*"):
            if path.name.startswith(".") or not path.is_file():
                continue
            facts = path.stat()
            found[path.relative_to(self.folder).as_posix()] = (facts.st_size, facts.st_mtime_ns)
        return found

    def _note(self, versions: dict[str, str]) -> None:
        replace_file(self.record, json.dumps(versions, allow_nan=False).encode())


def _vouches(name: str) -> bool:
    """Return whether a file says that others are there and whole."""
    last = Path(name).name
    return last in LAST or last.startswith("seal-")


def _read(record: Path) -> dict[str, str]:
    try:
        told = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(version) for name, version in told.items()} if isinstance(told, dict) else {}
