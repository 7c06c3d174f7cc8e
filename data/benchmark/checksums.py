"""``checksums.sha256``: what each file of a benchmark holds, as ``sha256sum --check`` reads it.

An existing file counts only if it matches its line, so that a resumed or repeated call detects files that
were truncated, swapped or changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from clearsight.data.home import replace_file

NAME = "checksums.sha256"


def sha256(content: bytes) -> str:
    """Return the checksum of a file's content."""
    return hashlib.sha256(content).hexdigest()


def known(out: Path) -> dict[str, str]:
    """Return path below ``out`` -> checksum of finished files; of one named twice, the last line counts."""
    try:
        text = (out / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.split("  ", 1) for line in text.split("\n")[:-1])
    return {parts[1]: parts[0] for parts in lines if len(parts) == 2}


def add(out: Path, sums: Mapping[str, str]) -> None:
    """Note finished files."""
    with (out / NAME).open("a", encoding="utf-8") as file:
        file.write(_lines(sums))


def close(out: Path, sums: Mapping[str, str]) -> None:
    """Write the lines of all files of a finished benchmark, sorted by path."""
    replace_file(out / NAME, _lines(dict(sorted(sums.items()))).encode())


def _lines(sums: Mapping[str, str]) -> str:
    return "".join(f"{checksum}  {name}\n" for name, checksum in sums.items())
