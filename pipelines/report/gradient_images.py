"""Input gradients: each kept image beside the gradient of every system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.strips import Album, Strip, Tile, class_name, listing, read, show

BUDGET = 1_000_000
"""Bytes of all of them together, at most."""


def gradient_album(run: RunFolder, figures: Figures, seal: Seal | None = None) -> Album:
    """Return a strip an image: the input, then the gradient of each system; empty where none were kept.

    Raises:
        RunError: the index is there and cannot be read.
    """
    by_sample: dict[str, dict[str, Mapping[str, Any]]] = {}
    for entry in listing(run.gradients_index):
        by_sample.setdefault(entry["sample"], {})[entry["system"]] = entry
    made, spent = Album([], seal), 0
    for sample, entries in by_sample.items():
        strip, size = _strip(run.images, figures, sample, entries, made)
        if spent + size > BUDGET:
            made.left_out += 1
            continue
        made.strips.append(strip)
        spent += size
    return made


def _strip(
    folder: Path, figures: Figures, sample: str, entries: Mapping[str, Mapping[str, Any]], made: Album
) -> tuple[Strip, int]:
    """Return a strip and the bytes of its images."""
    first = next(iter(entries.values()))
    shown = [show("image", read(folder, first["input"], made), [], made)]
    shown += [_tile(folder, name, entries[name], made) for name in figures.names if name in entries]
    tiles = [tile for tile, _ in shown]
    label = class_name(figures, first.get("label"))
    return Strip(label or sample, sample, "", tiles), sum(size for _, size in shown)


def _tile(folder: Path, name: str, entry: Mapping[str, Any], made: Album) -> tuple[Tile, int]:
    if entry["file"] is None:
        return Tile(name, None, False, [], str(entry["why"]), missing="no gradient"), 0
    return show(name, read(folder, entry["file"], made), [], made, f"full colour at {entry['scale']:.2g}")
