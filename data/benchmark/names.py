"""Names of the files and folders of a written benchmark: readable, safe on every system, never twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from clearsight.data.sources.base import Entry

RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices."""


def safe(name: str) -> str:
    """Return a name with letters, digits, ``.``, ``-`` and ``_`` only, not hidden and not empty."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._ ")[:120]
    return f"_{kept}" if not kept or RESERVED.match(kept) else kept


def file_names(entries: Sequence[Entry]) -> list[str]:
    """Return a file name without ending for each image: its own where no other of its class has it.

    Others get ``~`` (which no own name holds) and their position in the source appended. Upper and lower
    case count as equal, as they do on some file systems.
    """
    own = [safe(PurePosixPath(entry.name.replace("\\", "/")).stem or entry.id) for entry in entries]
    keys = [(entry.label, name.lower()) for entry, name in zip(entries, own, strict=True)]
    often = Counter(keys)
    return [
        name if often[key] == 1 else f"{name}~{place}"
        for place, (name, key) in enumerate(zip(own, keys, strict=True))
    ]


def folder_names(classes: Sequence[str]) -> list[str]:
    """Return a folder name for each class: its own, with its index where two would share one."""
    own = [safe(name) for name in classes]
    often = Counter(name.lower() for name in own)
    return [name if often[name.lower()] == 1 else f"{name}~{label}" for label, name in enumerate(own)]
