"""Where data, weights and caches live, and how files are written so that a kill leaves no half file."""

from __future__ import annotations

import os
from pathlib import Path

from clearsight.data.contract.errors import DataError


def home() -> Path:
    """Return ``$CLEARSIGHT_HOME``, by default the platform's cache folder."""
    if told := os.environ.get("CLEARSIGHT_HOME"):
        return Path(told).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("clearsight")


def locate(path: str) -> Path:
    """Return the file or folder that a config means by ``path``.

    An absolute path stands for itself; a relative one is looked for below the working folder, then
    ``$CLEARSIGHT_DATA``, then ``$CLEARSIGHT_HOME/data``.

    Raises:
        DataError: it is in none of these places; the message lists them.
    """
    given = Path(path).expanduser()
    places = [Path.cwd(), home() / "data"]
    if told := os.environ.get("CLEARSIGHT_DATA"):
        places.insert(1, Path(told).expanduser())
    for place in places:
        if (place / given).exists():
            return (place / given).resolve()
    looked = "" if given.is_absolute() else f" (looked in {', '.join(map(str, places))})"
    raise DataError(
        f"no such file or folder{looked}", where=path, hint="fix the path, or set CLEARSIGHT_DATA"
    )


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then move it into place: it is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
