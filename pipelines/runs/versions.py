"""Versions of the libraries that decide the numbers of a run."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

MODULES: dict[str, str | None] = {
    "torch": None,
    "numpy": None,
    "cv2": None,
    "scipy": "scipy",
    "skimage": "scikit-image",
    "kornia": "kornia",
    "PIL": None,
}
"""Import name -> name of the package, where that tells the same version without importing anything."""


def clearsight_version() -> str:
    """Return the installed version, or ``source`` where it runs from a folder that was never installed."""
    try:
        return version("clearsight")
    except PackageNotFoundError:
        return "source"


def library_versions() -> dict[str, str]:
    """Return import name -> version, clearsight's own first."""
    found = {name: _version(name, package) for name, package in MODULES.items()}
    return {"clearsight": clearsight_version()} | found


def _version(name: str, package: str | None) -> str:
    try:
        return version(package) if package else str(import_module(name).__version__)
    except PackageNotFoundError:
        return str(import_module(name).__version__)
