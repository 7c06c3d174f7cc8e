"""Image strips: the clean image, the corrupted one, and what each system made of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.words import plain

STRIPS = 14
"""Strips on a page, at most."""
BUDGET = 2_600_000
"""Bytes of all images on a page, at most (base64 adds a third)."""
HEAVY = 60_000
"""Bytes above which an image is embedded as JPEG."""


@dataclass(frozen=True)
class Guess:
    """What a system said about an image; ``right`` is None where there is no label."""

    system: str
    text: str
    confidence: str
    right: bool | None


@dataclass(frozen=True)
class Tile:
    """One image of a strip; where ``source`` is None, ``missing`` stands in its place."""

    title: str
    source: str | None
    small: bool
    guesses: list[Guess]
    note: str = ""
    missing: str = "image missing"


@dataclass(frozen=True)
class Strip:
    """One sample under one condition, and what else is to be said of it."""

    title: str
    sample: str
    label: str
    tiles: list[Tile]
    told: str = ""


@dataclass
class Album:
    """The strips of a page, and what was left out or changed to keep it small.

    Images must match ``seal``, if there is one; one that does not counts as missing.
    """

    strips: list[Strip]
    seal: Seal | None = None
    left_out: int = 0
    recoded: bool = False
    missing: int = 0

    @property
    def judged(self) -> bool:
        """Return whether any prediction is known to be right or wrong."""
        guesses = [guess for strip in self.strips for tile in strip.tiles for guess in tile.guesses]
        return any(guess.right is not None for guess in guesses)


Entry = Mapping[str, Any]


def album(run: RunFolder, figures: Figures, seal: Seal | None = None) -> Album:
    """Return the image strips of a run; empty where the run kept no images.

    Conditions are chosen without looking at the outcome: first one strip per corruption, at its middle
    severity, then more while there is room.

    Raises:
        RunError: ``images/images.json`` is there and cannot be read.
    """
    shots = shots_of(run, figures)
    made = Album([], seal)
    spent = 0
    places = order(figures, shots)
    for place in places[:STRIPS]:
        strip, size = _strip(run.images, figures, shots, place, made)
        if spent + size > BUDGET:
            break
        made.strips.append(strip)
        spent += size
    made.left_out = len(places) - len(made.strips)
    return made


def shots_of(run: RunFolder, figures: Figures) -> dict[tuple[str, str], dict[str | None, Entry]]:
    """Return what was kept without attacks: (condition, sample) -> system (None: its input) -> entry.

    Raises:
        RunError: ``images/images.json`` is there and cannot be read.
    """
    shots: dict[tuple[str, str], dict[str | None, Entry]] = {}
    for entry in listing(run.images_index):
        if entry.get("attack") is None or entry["attack"] in figures.unattacked:
            shots.setdefault((entry["condition"], entry["sample"]), {})[entry["system"]] = entry
    return shots


def listing(path: Path) -> list[Entry]:
    """Return what an index of images lists; nothing where it is not there.

    Raises:
        RunError: it cannot be read.
    """
    if not path.is_file():
        return []
    try:
        entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"cannot be read: {error}", where=str(path)) from None
    return entries


def order(
    figures: Figures, shots: Mapping[tuple[str, str], Mapping[str | None, Entry]]
) -> list[tuple[str, str]]:
    """Return (condition, sample) pairs: corruptions in turn, the middle severity first, samples in turn."""
    by_condition: dict[str, list[str]] = {}
    for (condition, sample), here in shots.items():
        if condition == figures.clean and not any(name and e["file"] for name, e in here.items()):
            continue  # nobody restored it: the strips of the corruptions show it anyway
        by_condition.setdefault(condition, []).append(sample)
    known = figures.conditions
    kinds: dict[str, list[str]] = {}
    for condition in sorted(by_condition, key=lambda c: list(known).index(c) if c in known else len(known)):
        kind = known[condition].kind if condition in known else condition
        kinds.setdefault(kind, []).append(condition)
    middle = sorted(figures.severities())[len(figures.severities()) // 2] if figures.severities() else 0.0
    for conditions in kinds.values():
        conditions.sort(key=lambda c: abs((known[c].severity if c in known else 0) - middle))
    pairs: list[tuple[str, str]] = []
    for turn in range(max(map(len, by_condition.values()), default=0)):
        for depth in range(max(map(len, kinds.values()), default=0)):
            for index, conditions in enumerate(kinds.values()):
                if depth < len(conditions) and turn < len(samples := by_condition[conditions[depth]]):
                    pairs.append((conditions[depth], samples[(index + depth + turn) % len(samples)]))
    return pairs


def _strip(
    folder: Path,
    figures: Figures,
    shots: Mapping[tuple[str, str], Mapping[str | None, Entry]],
    place: tuple[str, str],
    made: Album,
) -> tuple[Strip, int]:
    """Return a strip and the bytes of its images."""
    condition, sample = place
    here = shots[place]
    before = shots.get((figures.clean or "", sample), {}) if condition != figures.clean else {}
    plan: list[tuple[str, Entry, list[Guess]]] = []
    if None in before:
        plan.append(("clean", before[None], _unrestored(figures, before)))
    if None in here:
        plan.append(
            ("clean" if condition == figures.clean else "corrupted", here[None], _unrestored(figures, here))
        )
    plan += [
        (name, here[name], guess_of(figures, here[name], ""))
        for name in figures.names
        if name in here and here[name]["file"] is not None
    ]
    tiles, size = [], 0
    for title, entry, guesses in plan:
        tile, bytes_ = show(title, read(folder, entry.get("file"), made), guesses, made)
        tiles.append(tile)
        size += bytes_
    label = next((e["label"] for e in here.values() if e.get("label") is not None), None)
    return Strip(figures.title(condition), sample, class_name(figures, label), tiles), size


def _unrestored(figures: Figures, here: Mapping[str | None, Entry]) -> list[Guess]:
    """Return the predictions of systems that output no image: they are shown with the input."""
    names = [name for name in figures.names if name in here and here[name]["file"] is None]
    guesses = [guess for name in names for guess in guess_of(figures, here[name], name)]
    return guesses or (guess_of(figures, here[None], "") if None in here else [])


def guess_of(figures: Figures, entry: Entry, name: str) -> list[Guess]:
    """Return what was predicted; nothing where the system has no classifier."""
    guessed, label, confidence = entry.get("prediction"), entry.get("label"), entry.get("confidence")
    if guessed is None:
        return []
    right = None if label is None else guessed == label
    sure = "" if confidence is None else f"{100 * confidence:.0f}\u00a0%"
    return [Guess(name, class_name(figures, guessed), sure, right)]


def class_name(figures: Figures, index: int | None) -> str:
    """Return a class as a reader says it."""
    if index is None:
        return ""
    classes = figures.run.data.classes
    return plain(classes[index]) if 0 <= index < len(classes) else f"class {index}"


def read(folder: Path, name: str | None, made: Album) -> bytes:
    """Return an image's bytes; nothing where the file is missing, damaged or outside the folder."""
    if name is None or Path(name).name != name:
        made.missing += 1
        return b""
    path = folder / name
    try:
        return path.read_bytes() if made.seal is None else made.seal.read(path)
    except (OSError, RunError):
        made.missing += 1
        return b""


def show(title: str, content: bytes, guesses: list[Guess], made: Album, note: str = "") -> tuple[Tile, int]:
    """Return the tile of a PNG and how many bytes it takes; without content its image is missing."""
    shown, kind = _recoded(content, made)
    source = f"data:image/{kind};base64,{base64.b64encode(shown).decode('ascii')}" if shown else None
    return Tile(title, source, _width(content) < 128, guesses, note), len(shown)


def _recoded(content: bytes, made: Album) -> tuple[bytes, str]:
    if len(content) <= HEAVY:
        return content, "png"
    made.recoded = True
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").save(out, "JPEG", quality=90, subsampling=0)
    return out.getvalue(), "jpeg"


def _width(content: bytes) -> int:
    """Return the width in pixels that a PNG's header states; other formats count as large."""
    return int.from_bytes(content[16:20], "big") if content.startswith(b"\x89PNG") else 1 << 16
