"""A run's curve as an SVG that needs nothing around it: validation over epochs, with its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 64, 64
COLOURS = ("#0b7a75", "#8a3fb8", "#9a7400", "#c42a5b", "#3c52c4", "#3a7d2c")
# Plain colours: a viewer that knows no CSS variables shows the file too.
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #5d656d }
  .title { font-size: 14px; fill: #1c2024 }
  .rule { stroke: #dedbd4 }
  .best { stroke: #1c2024; stroke-dasharray: 3 3 }
  .paper { fill: #fcfbf9 }
"""

Point = tuple[float, float, float, float]
"""Epoch, value, lower and upper end of the interval."""


@dataclass(frozen=True)
class Frame:
    """From values to places.

    Attributes:
        epochs: the right end of the axis.
        ticks: values with a line across, lowest first.
    """

    epochs: float
    ticks: Sequence[float]

    def x(self, epoch: float) -> float:
        """Return the place of an epoch."""
        return LEFT + (WIDTH - LEFT - RIGHT) * epoch / self.epochs

    def y(self, value: float) -> float:
        """Return the place of a value."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def drawn(curve: Mapping[str, Any]) -> str:
    """Return the SVG of what ``curve.json`` holds, which has one check at least."""
    checks = curve["checks"]
    lines = _lines(checks)
    ends = [end for line in lines.values() for point in line for end in point[1:]]
    frame = Frame(max(checks[-1]["epoch"], 1e-9), _ticks(min(ends), max(ends)))
    best = [check["epoch"] for check in checks if check["best"]][-1:]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(_spoken(curve['name'], lines))}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        *_axes(frame, "PSNR in dB" if "metric" in checks[0]["validation"] else "accuracy"),
        *(_best(frame, epoch) for epoch in best),
    ]
    for index, (name, line) in enumerate(lines.items()):
        parts += _series(frame, line, COLOURS[index % len(COLOURS)], name, index, len(lines))
    parts.append(f'<text class="title" x="{LEFT}" y="20">{escape(curve["name"])}: validation part</text>')
    if tested := _tested(curve):
        parts.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">{tested}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _lines(checks: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Return name -> points: natural and robust accuracy, or the PSNR of every condition."""
    lines: dict[str, list[Point]] = {}
    for check in checks:
        for name, told, key in _figures(check["validation"]):
            lines.setdefault(name, []).append((check["epoch"], told[key], told["low"], told["high"]))
    return lines


def _figures(told: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    if "accuracy" not in told:
        return [(name, each, "psnr") for name, each in told.items() if isinstance(each, Mapping)]
    found = [("natural", told, "accuracy")]
    if robust := told.get("robust"):
        found.append((str(robust["how"]), robust, "accuracy"))
    return found


def _tested(curve: Mapping[str, Any]) -> str:
    """Return what the weights that are kept and the last ones reach on the test part, where that is known."""
    ends = [_figures(curve.get(end, {}).get("test", {})) for end in ("best", "last")]
    pairs = [
        f"{name} {one[1][one[2]]:.3f}, {other[1][other[2]]:.3f}"
        for name, one, other in zip(("natural", "robust"), *ends, strict=False)
        if one[2] == "accuracy"
    ]
    return f"test part, kept and last weights: {'; '.join(pairs)}" if pairs else ""


def _ticks(low: float, high: float) -> list[float]:
    """Return 4 to 8 round values that enclose both."""
    wanted = max(high - low, 1e-3) / 4
    step: float = 10.0 ** floor(log10(wanted))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if factor * step >= wanted * (1 - 1e-9))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _axes(frame: Frame, label: str) -> list[str]:
    parts = []
    for tick in frame.ticks:
        y = f"{frame.y(tick):.1f}"
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y}" dy="4" text-anchor="end">{tick:.4g}</text>')
    for epoch in _ticks(0.0, frame.epochs):
        if epoch <= frame.epochs * (1 + 1e-9):
            x = f"{frame.x(epoch):.1f}"
            parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{epoch:.4g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 28}" text-anchor="end">epochs</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 28}">{label}, 95 % intervals</text>')
    return parts


def _best(frame: Frame, epoch: float) -> str:
    """Return the upright line of the checkpoint that is kept; its words stay inside the frame."""
    x = frame.x(epoch)
    side, anchor = (-6, "end") if x > WIDTH / 2 else (6, "start")
    return (
        f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x + side:.1f}" y="{HEIGHT - BOTTOM - 6}" text-anchor="{anchor}">kept: {epoch:.4g}</text>'
    )


def _series(frame: Frame, line: Sequence[Point], colour: str, name: str, index: int, count: int) -> list[str]:
    """Return the band, the line with its points, and the key of one series."""
    upper = [(frame.x(epoch), frame.y(high)) for epoch, _, _, high in line]
    lower = [(frame.x(epoch), frame.y(low)) for epoch, _, low, _ in reversed(line)]
    middle = [(frame.x(epoch), frame.y(value)) for epoch, value, _, _ in line]
    parts = [f'<polygon points="{_places(upper + lower)}" fill="{colour}" fill-opacity="0.16"/>']
    parts += [
        f'<path d="M{_places([one])}L{_places([other])}" stroke="{colour}" stroke-width="1.8"/>'
        for one, other in pairwise(middle)
    ]
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{colour}"/>' for x, y in middle]
    x = LEFT + (WIDTH - LEFT - RIGHT) * index / count
    parts.append(f'<path d="M{x:.1f},42h18" stroke="{colour}" stroke-width="1.8"/>')
    parts.append(f'<text x="{x + 24:.1f}" y="46">{escape(name)}</text>')
    return parts


def _places(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _spoken(name: str, lines: Mapping[str, Sequence[Point]]) -> str:
    told = "; ".join(f"{key} {line[0][1]:.4g} to {line[-1][1]:.4g}" for key, line in lines.items())
    return f"{name}, validation over epochs: {told}"
