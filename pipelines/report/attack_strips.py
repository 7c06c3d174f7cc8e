"""Images under attack: the input, the adversarial image, their difference, and what was restored."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import Seal
from clearsight.pipelines.report.attack_tables import facts
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.strips import (
    Album,
    Guess,
    Strip,
    Tile,
    class_name,
    guess_of,
    listing,
    read,
    show,
)

STRIPS = 24
"""Strips of attacked images on a page, at most."""
BUDGET = 1_000_000
"""Bytes of all of them together, at most."""
GAIN = 10
"""Factor by which the difference is magnified, around grey."""

SAME = "no pixel differs"

Shot = Mapping[str, Any]


def attack_album(run: RunFolder, figures: Figures, seal: Seal | None = None) -> Album:
    """Return strips of attacked cells; empty where the run kept no adversarial images.

    Attacks take turns, each with the next sample and all systems on it, so that systems can be compared and
    nothing is chosen by its outcome.
    """
    entries = listing(run.images_index)
    inputs = {(e["condition"], e["sample"]): e for e in entries if e["system"] is None}
    shots = {
        (e["condition"], e["attack"], e["sample"], e["system"]): e for e in entries if e.get("adversarial")
    }
    made, spent, stopped = Album([], seal), 0, False
    for turn in _turns(figures, shots):
        strips = [_strip(run.images, figures, inputs, shots[place], made) for place in turn]
        size = sum(bytes_ for _, bytes_ in strips)
        stopped = stopped or len(made.strips) + len(strips) > STRIPS or spent + size > BUDGET
        if stopped:
            made.left_out += len(strips)
            continue
        made.strips += [strip for strip, _ in strips]
        spent += size
    return made


Key = tuple[str, str, str, str]


def _turns(figures: Figures, shots: Mapping[Key, Shot]) -> list[list[Key]]:
    """Return groups of one condition, attack and sample with all systems, in the order they are shown.

    Samples that every system gets wrong without an attack come last: nobody attacked them.
    """
    samples = list(dict.fromkeys(key[2] for key in shots))
    worth = {shot["sample"] for shot in shots.values() if not _wrong_before(shot)}
    turns = []
    for pool in ([s for s in samples if s in worth], [s for s in samples if s not in worth]):
        for step in range(len(pool)):
            for condition in figures.conditions:
                for index, attack in enumerate(figures.attacked):
                    sample = pool[(index + step) % len(pool)]
                    keys = [(condition, attack, sample, name) for name in figures.names]
                    turns.append([key for key in keys if key in shots])
    return [turn for turn in turns if turn]


def _wrong_before(shot: Shot) -> bool:
    """Return whether the system is known to be wrong on the image without the attack."""
    before: Mapping[str, Any] = shot.get("before") or {}
    label = shot.get("label")
    return label is not None and before.get("prediction") not in (None, label)


def _strip(
    folder: Path, figures: Figures, inputs: Mapping[tuple[str, str], Shot], shot: Shot, made: Album
) -> tuple[Strip, int]:
    """Return a strip and the bytes of its images."""
    start = inputs.get((shot["condition"], shot["sample"]))
    before = read(folder, start["file"], made) if start else b""
    after = read(folder, shot["adversarial"], made)
    plain = "clean" if shot["condition"] == figures.clean else "corrupted"
    difference, note = magnified(before, after)
    if note == SAME and _wrong_before(shot):
        note = f"{SAME}: wrong without an attack"
    restored = shot.get("file")
    shown = [
        show(plain, before, _before(figures, shot), made),
        show("adversarial", after, guess_of(figures, shot, ""), made),
    ]
    if difference or note:
        shown.append(show(f"difference \u00d7{GAIN}", difference, [], made, note))
    if restored:
        shown.append(show("restored", read(folder, restored, made), [], made, "what the classifier saw"))
    tiles: list[Tile] = [tile for tile, _ in shown]
    title = f"{shot['system']} under {shot['attack']}"
    told = ", ".join([*facts(figures, shot["attack"])[1:], figures.title(shot["condition"])])
    strip = Strip(title, shot["sample"], class_name(figures, shot.get("label")), tiles, told)
    return strip, sum(bytes_ for _, bytes_ in shown)


def _before(figures: Figures, shot: Shot) -> list[Guess]:
    """Return what the system said of the image without the attack, where that was measured."""
    before = shot.get("before")
    return guess_of(figures, {**shot, **before}, "") if before else []


def magnified(before: bytes, after: bytes) -> tuple[bytes, str]:
    """Return the difference of two PNGs around grey as a PNG, and a note on what it hides.

    Nothing is returned where an image is missing or their sizes differ.
    """
    if not before or not after:
        return b"", ""
    import numpy as np
    from PIL import Image

    pair = []
    for content in (before, after):
        with Image.open(io.BytesIO(content)) as image:
            pair.append(np.asarray(image.convert("RGB"), dtype=np.int16))
    if pair[0].shape != pair[1].shape:
        return b"", ""
    change = pair[1] - pair[0]
    most = int(abs(change).max())
    out = io.BytesIO()
    Image.fromarray((128 + GAIN * change).clip(0, 255).astype(np.uint8)).save(out, "PNG")
    note = f"at most {most}/255" if most else SAME
    return out.getvalue(), note
