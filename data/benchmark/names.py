"""Names of the files and folders of a written benchmark: readable, safe on every system, never twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from clearsight.data.contract.errors import DataError
from clearsight.data.sources.base import Entry

MANIFEST = "manifest.json"
"""What a benchmark was made from; it lies in its folder."""
LAYOUTS = ("imagenet_c", "cifar_c")

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
    keys = [(entry.truth, name.lower()) for entry, name in zip(entries, own, strict=True)]
    often = Counter(keys)
    return [
        name if often[key] == 1 else f"{name}~{place}"
        for place, (name, key) in enumerate(zip(own, keys, strict=True))
    ]


def class_order(folder: Path) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Return the classes of a written benchmark, and class folder -> label, as its manifest says.

    The order of classes is a fact of the data: folder names sort differently where they were made safe, or
    where they are numbers.

    Args:
        folder: with the class folders, or one or two levels above them.

    Returns:
        None where no manifest of a benchmark with classes lies there.

    Raises:
        DataError: a manifest cannot be read.
    """
    for place in (folder, *folder.resolve().parents[:2]):
        path = place / MANIFEST
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise DataError(
                f"cannot be read: {error}", where=str(path), hint="the order of classes"
            ) from None
        if (found := classes_in(text, str(path))) is not None:
            return found
    return None


def classes_in(text: str, where: str) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Return the classes of a benchmark, and class folder -> label, as the text of its manifest says.

    Args:
        text: of the manifest.
        where: it lies.

    Returns:
        None where it is no manifest of a benchmark with classes: other programs write files of this name too.

    Raises:
        DataError: it cannot be read.
    """
    try:
        config = json.loads(text).get("config")
    except (ValueError, AttributeError) as error:
        raise DataError(f"cannot be read: {error}", where=where, hint="the order of classes") from None
    if isinstance(config, dict) and config.get("layout") in LAYOUTS and config.get("classes"):
        classes = tuple(map(str, config["classes"]))
        return classes, {name: label for label, name in enumerate(folder_names(classes))}
    return None


def folder_names(classes: Sequence[str]) -> list[str]:
    """Return a folder name for each class: its own, with its index where two would share one."""
    own = [safe(name) for name in classes]
    often = Counter(name.lower() for name in own)
    return [name if often[name.lower()] == 1 else f"{name}~{label}" for label, name in enumerate(own)]
