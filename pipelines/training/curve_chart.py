"""A run's curve as a self-contained SVG: validation over epochs, with its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from clearsight.pipelines.report.svg import drawing_settings, quiet_axes, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (8.9, 5.3)
"""Inches of the chart: 640 x 380 points."""
LEFT = 0.09
"""Left edge of axes and texts, in widths of the chart."""
COLOURS = ("#0b7a75", "#8a3fb8", "#9a7400", "#c42a5b", "#3c52c4", "#3a7d2c")
INK, MUTED, RULE, PAPER = "#1c2024", "#5d656d", "#dedbd4", "#fcfbf9"

Point = tuple[float, float, float, float]
"""Epoch, value, lower and upper end of the interval."""


def drawn(curve: Mapping[str, Any]) -> str:
    """Return the SVG of ``curve.json``, which has one check at least; equal curves give equal bytes."""
    from matplotlib.figure import Figure

    checks = curve["checks"]
    lines = _lines(checks)
    measured = _figures(checks[0]["validation"])[0][2]
    label = {"psnr": "PSNR in dB", "accuracy": "accuracy"}.get(measured, "share of images")
    with drawing_settings():
        canvas = Figure(figsize=SIZE, facecolor=PAPER)
        axes = canvas.add_axes((LEFT, 0.17, 0.98 - LEFT, 0.66))
        for index, (name, line) in enumerate(lines.items()):
            _series(axes, line, COLOURS[index % len(COLOURS)], name, index)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=min(len(lines), 4), frameon=False)
        _frame(axes, checks[-1]["epoch"])
        for epoch in [check["epoch"] for check in checks if check["best"]][-1:]:
            _best(axes, epoch)
        canvas.text(LEFT, 0.94, f"{curve['name']}: validation part", color=INK, fontsize=12)
        canvas.text(LEFT, 0.08, f"{label}, 95 % intervals", color=MUTED)
        if tested := _tested(curve):
            canvas.text(LEFT, 0.02, tested, color=MUTED)
        text = svg_text(canvas)
    # Without the prolog, which names an address; with a title for screen readers.
    head, _, rest = text[text.index("<svg") :].partition(">")
    return f'{head} role="img">\n<title>{escape(_spoken(curve["name"], lines))}</title>{rest}'


def _series(axes: Axes, line: Sequence[Point], colour: str, name: str, index: int) -> None:
    """Draw the band of the intervals and the line with its points."""
    epochs, values, lows, highs = zip(*line, strict=True)
    axes.fill_between(
        epochs, lows, highs, color=colour, alpha=0.16, linewidth=0, gid=f"interval-{index}", clip_on=False
    )
    axes.plot(
        epochs,
        values,
        color=colour,
        linewidth=1.8,
        marker="o",
        markersize=4,
        clip_on=False,
        label=name,
        gid=f"line-{index}",
    )


def _frame(axes: Axes, last: float) -> None:
    """Draw quiet axes: horizontal rules, no box."""
    axes.set_xlim(0.0, max(last, 1e-9))
    axes.set_xlabel("epochs", loc="right", color=MUTED)
    quiet_axes(axes, pad=4, muted=MUTED, rule=RULE)


def _best(axes: Axes, epoch: float) -> None:
    """Draw the upright line of the checkpoint that is kept; its words stay inside the frame."""
    axes.axvline(epoch, color=INK, linewidth=1.0, linestyle=(0, (3, 3)))
    to_the_left = epoch > sum(axes.get_xlim()) / 2
    axes.annotate(
        f"kept: {epoch:.4g}",
        (epoch, 0.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-5 if to_the_left else 5, 5),
        textcoords="offset points",
        horizontalalignment="right" if to_the_left else "left",
        color=MUTED,
    )


MEASURED = ("agreement", "named", "left_alone", "psnr")
"""Figures that a condition's interval may belong to: the first of these that it has."""


def _lines(checks: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Return name -> points: natural and robust accuracy, or the figure of every condition."""
    lines: dict[str, list[Point]] = {}
    for check in checks:
        for name, score, key in _figures(check["validation"]):
            lines.setdefault(name, []).append((check["epoch"], score[key], score["low"], score["high"]))
    return lines


def _figures(told: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    if "accuracy" not in told:
        conditions = [(name, each) for name, each in told.items() if isinstance(each, Mapping)]
        return [(name, each, next(key for key in MEASURED if key in each)) for name, each in conditions]
    found = [("natural", told, "accuracy")]
    if robust := told.get("robust"):
        found.append((str(robust["how"]), robust, "accuracy"))
    return found


def _tested(curve: Mapping[str, Any]) -> str:
    """Return what the kept and the last weights reach on the test part, where both are known."""
    ends = [_figures(curve.get(end, {}).get("test", {})) for end in ("best", "last")]
    pairs = [
        f"{name} {one[1][one[2]]:.3f}, {other[1][other[2]]:.3f}"
        for name, one, other in zip(("natural", "robust"), *ends, strict=False)
        if one[2] == "accuracy"
    ]
    return f"test part, kept and last weights: {'; '.join(pairs)}" if pairs else ""


def _spoken(name: str, lines: Mapping[str, Sequence[Point]]) -> str:
    ranges = "; ".join(f"{key} {line[0][1]:.4g} to {line[-1][1]:.4g}" for key, line in lines.items())
    return f"{name}, validation over epochs: {ranges}"
