"""Scores of contestants on a set, as a Markdown table with intervals, and images of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np
import torch
from _contestants import INPUT, Contestant

from clearsight.data.contract.rng import Rng
from clearsight.data.media.images import encode_png, to_uint8
from clearsight.data.statistics import bootstrap_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SHOWN, SIDE, STRIP = 4, 256, 22
"""Rows of a sheet of images, side of each centre crop and height of the captions in pixels."""


@dataclass(frozen=True)
class Case:
    """One image to restore: name, input, target where one is known, contestants."""

    name: str
    given: Tensor
    target: Tensor | None
    contestants: Sequence[Contestant]

    def wanted(self) -> Tensor:
        """Return the target; raise `ValueError` where there is none."""
        if self.target is None:
            raise ValueError(f"{self.name} has no wanted image")
        return self.target


Judge = Callable[["Tensor", Case], dict[str, float]]
"""Restored image and case -> measure -> value."""


@dataclass
class Column:
    """Results under one condition: label -> measure -> value per image, and a few images to show."""

    name: str
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    sheets: list[list[tuple[str, Tensor]]] = field(default_factory=list)


def measure(name: str, cases: Iterable[Case], judge: Judge, tell: Callable[[str], None]) -> Column:
    """Restore every case with every contestant, the input itself included, and judge the results."""
    column = Column(name)
    for place, case in enumerate(cases):
        tell(f"{name}: {place + 1} {case.name}")
        row = []
        for contestant in case.contestants:
            with torch.inference_mode():
                out = contestant(case.given).clamp(0.0, 1.0)
                found = judge(out, case)
            kept = column.scores.setdefault(contestant.label, {})
            for key, value in found.items():
                kept.setdefault(key, []).append(value)
            row.append((contestant.label, out))
        if place < SHOWN:
            wanted = [] if case.target is None else [("wanted", case.target)]
            given = [] if case.contestants[0] is INPUT else [("given", case.given.clamp(0.0, 1.0))]
            column.sheets.append(given + row + wanted)
    return column


def markdown(
    columns: Sequence[Column],
    *,
    reference: str | None,
    times: Mapping[str, float],
    sizes: Mapping[str, int],
    cost_of: str | None = None,
) -> str:
    """Return the table: one row per contestant, and for each condition its measures.

    Args:
        columns: the conditions, each with the same measures; the first measure gets an interval.
        reference: label whose values are subtracted, image by image, for the column of gains; None: the
            classical method with the best mean of a column.
        times: label -> milliseconds.
        sizes: label -> number of parameters, 0 for classical methods.
        cost_of: label whose time the others are divided by, in a last column.
    """
    measures = list(next(iter(columns[0].scores.values())))
    first, rest = measures[0], measures[1:]
    heads, bases = ["method", "parameters"], []
    for column in columns:
        base = reference or _best(column, first, sizes)
        bases.append(base)
        heads += [f"{column.name}: {first} [95 %]", f"over {base}", *rest]
    heads += ["ms"] + ([f"cost / {cost_of}"] if cost_of else [])
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for label in dict.fromkeys([name for column in columns for name in column.scores] + list(times)):
        cells = [label, _size(sizes.get(label, 0))]
        for column, base in zip(columns, bases, strict=True):
            cells += _cells(column, label, base, measures)
        cells.append(f"{times[label]:.1f}" if label in times else "")
        if cost_of:
            share = times[label] / times[cost_of] if label in times and cost_of in times else None
            cells.append("" if share is None else f"{share:.3f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _best(column: Column, measure_name: str, sizes: Mapping[str, int]) -> str:
    means = {
        label: fmean(values[measure_name])
        for label, values in column.scores.items()
        if not sizes.get(label) and label != INPUT.label
    }
    return max(means, key=lambda label: means[label]) if means else INPUT.label


def _cells(column: Column, label: str, base: str, measures: Sequence[str]) -> list[str]:
    found = column.scores.get(label)
    if found is None:
        return ["" for _ in range(len(measures) + 1)]
    first, rest = measures[0], measures[1:]
    values = np.array(found[first])
    cells = [_interval(values, column.name, plus=False), ""]
    if label != base and base in column.scores:
        cells[1] = _interval(values - np.array(column.scores[base][first]), column.name, plus=True)
    return cells + [f"{fmean(found[name]):.4f}" for name in rest]


def _interval(values: NDArray[np.float64], name: str, *, plus: bool) -> str:
    low, high = bootstrap_mean(values, Rng(0).at("benchmark", "restoration", name))
    return (
        f"{values.mean():+.2f} [{low:+.2f}, {high:+.2f}]"
        if plus
        else f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"
    )


def _size(count: int) -> str:
    if not count:
        return ""
    return f"{count / 1e6:.2f} M" if count >= 100_000 else f"{count / 1e3:.1f} K"


def save_sheet(column: Column, path: Path) -> None:
    """Write the kept images of a condition as one PNG: one row per image, one column per contestant."""
    rows = [np.hstack([_tile(label, image) for label, image in row]) for row in column.sheets]
    width = max(row.shape[1] for row in rows)
    even = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.vstack(even)))


def _tile(label: str, image: Tensor) -> NDArray[np.uint8]:
    """Return (STRIP + SIDE, SIDE, 3): a caption above the centre crop of an image, enlarged if small."""
    import cv2

    pixels = to_uint8(image.numpy())[0]
    factor = max(1, SIDE // min(pixels.shape[:2]))
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1).repeat(3 // pixels.shape[2], axis=2)
    top, left = (max(0, (side - SIDE) // 2) for side in pixels.shape[:2])
    cut = pixels[top : top + SIDE, left : left + SIDE]
    tile = np.full((STRIP + SIDE, SIDE, 3), 255, np.uint8)
    tile[STRIP : STRIP + cut.shape[0], : cut.shape[1]] = cut
    cv2.putText(tile, label, (3, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
