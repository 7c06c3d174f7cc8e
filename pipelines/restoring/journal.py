"""The record of finished results, in their folder: one line per file, so a kill costs one file at most."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

from clearsight.data.contract.errors import ConfigError
from clearsight.data.home import replace_file, writable_folder
from clearsight.data.seals import stored
from clearsight.pipelines.restoring.chain import Chain
from clearsight.pipelines.restoring.plan import Item

NAME = ".clearsight-restore.jsonl"
"""First line: the chain; each further line: a finished result, with the checksums of its input and itself."""
FRESH = "give another OUT, or --fresh to restore everything again"


Record: TypeAlias = dict[str, Any]
State: TypeAlias = Literal["finished", "changed", "new"]
"""``changed``: a finished result whose file is no longer what was written."""


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
                        "exists already, without a record of its restoration",
                        where=str(item.target),
                        hint=FRESH,
                    )
        writable_folder(folder)
        # Rewritten: a kill may have left half a line at the end.
        lines = [head, *self.done.values()]
        replace_file(self.path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode())

    def _read(self, head: dict[str, Any]) -> None:
        first, *others = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        written = _parsed(first)
        if written.get("key") != head["key"]:
            chain = written.get("with")
            words = ",".join(map(str, chain)) if isinstance(chain, list) else "?"
            noise = f" --sigma {written['sigma']}" if written.get("sigma") else ""
            raise ConfigError(
                f"holds images that were restored otherwise (--with {words}{noise})",
                where=str(self.path.parent),
                hint=FRESH,
            )
        for line in others:
            record = _parsed(line)
            if isinstance(record.get("name"), str):
                self.done[record["name"]] = record

    def state(self, item: Item) -> State:
        """Return whether a result is there, unchanged, and made from the present input."""
        record = self.done.get(item.name)
        if record is None or "result" not in record or not item.target.exists():
            return "new"
        if record["result"] != stored(item.target):
            return "changed"
        return "finished" if record.get("input") == stored(item.source) else "new"

    def add(self, item: Item, read: str | None) -> None:
        """Note a finished result; ``read`` is the checksum of its input, taken before it was read."""
        record = {"name": item.name, "input": read, "result": stored(item.target)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
