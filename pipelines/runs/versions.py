"""Versions of the libraries that decide the numbers of a run."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

MODULES = ("torch", "numpy", "cv2", "scipy", "skimage", "kornia", "PIL")


def clearsight_version() -> str:
    """Return the installed version, or ``source`` where it runs from a folder that was never installed."""
    try:
        return version("clearsight")
    except PackageNotFoundError:
        return "source"


def library_versions() -> dict[str, str]:
    """Return import name -> version, clearsight's own first."""
    found = {name: str(import_module(name).__version__) for name in MODULES}
    return {"clearsight": clearsight_version()} | found
