"""The record of what is done, in the folder of the results: one line a file, so a kill costs one file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from clearsight.data.contract.errors import ConfigError
from clearsight.data.home import replace_file, writable_folder
from clearsight.pipelines.restoring.chain import Chain
from clearsight.pipelines.restoring.plan import Item

NAME = ".clearsight-restore.jsonl"
"""First line: the chain; each further line: a finished result and the size and time of its input."""
FRESH = "give another OUT, or --fresh to restore everything again"


Record: TypeAlias = dict[str, Any]


class Journal:
    """Which results of one chain are finished.

    Args:
        folder: of the results.
        chain: what is done to the images.
        items: everything that will be restored.
        fresh: forget what was done before.

    Raises:
        ConfigError: the folder holds results of another chain, or files that nobody recorded.
    """

    def __init__(self, folder: Path, chain: Chain, items: Iterable[Item], *, fresh: bool) -> None:
        """Read the record, or begin one."""
        self.path = folder / NAME
        self.done: dict[str, Record] = {}
        head = {"key": chain.key(), "with": list(chain.words), "sigma": chain.sigma}
        if self.path.exists() and not fresh:
            self._read(head)
        elif not fresh:
            for item in items:
                if item.target.exists():
                    raise ConfigError(
                        "exists already, made by something else", where=str(item.target), hint=FRESH
                    )
        writable_folder(folder)
        # Rewritten: a kill may have left half a line at the end.
        lines = [head, *self.done.values()]
        replace_file(self.path, "".join(json.dumps(line) + "\n" for line in lines).encode())

    def _read(self, head: dict[str, Any]) -> None:
        first, *others = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        found = _parsed(first)
        if found.get("key") != head["key"]:
            words = ",".join(map(str, found.get("with", ["?"])))
            noise = f" --sigma {found['sigma']}" if found.get("sigma") else ""
            raise ConfigError(
                f"holds images that were restored otherwise (--with {words}{noise})",
                where=str(self.path.parent),
                hint=FRESH,
            )
        for line in others:
            if "name" in (record := _parsed(line)):
                self.done[record["name"]] = record

    def finished(self, item: Item) -> bool:
        """Return whether the result is there and its input has not changed since."""
        return self.done.get(item.name) == record_of(item) and item.target.is_file()

    def add(self, record: Record) -> None:
        """Note a finished result."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def record_of(item: Item) -> Record:
    """Return what is noted of a file, taken before it is read: its name, size and time of change."""
    try:
        told = item.source.stat()
    except OSError:
        # It has gone since it was listed; reading it will say so.
        return {"name": item.name}
    return {"name": item.name, "bytes": told.st_size, "time": told.st_mtime_ns}


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
