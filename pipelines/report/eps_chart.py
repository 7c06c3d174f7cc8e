"""Accuracy against the size of the perturbation: a chart and its table for each kind of attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearsight.pipelines.report.attack_tables import Level, curve_size, level
from clearsight.pipelines.report.charts import look, to_svg
from clearsight.pipelines.report.figures import Entry, Figures, value
from clearsight.pipelines.report.svg import SENTINELS, drawing_settings, quiet_axes
from clearsight.pipelines.report.words import NORMS, THREATS, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (4.3, 2.5)
"""Inches of a chart."""
MOST = 12
"""Charts on a page, at most: clean images first, then the conditions of the run in order."""


@dataclass(frozen=True)
class Curve:
    """A kind of attack at several sizes: the chart, and the table behind it."""

    title: str
    facts: str
    svg: str
    sizes: list[str]
    rows: list[tuple[str, list[Level | None]]]
    flagged: bool


Points = dict[float, Entry]
"""Cells by the size of the perturbation; 0 is the cell without an attack."""


def curves(figures: Figures) -> list[Curve]:
    """Return a curve for every kind, norm and threat that was measured at two sizes in one condition."""
    drawn: list[Curve] = []
    for condition in sorted(figures.conditions, key=lambda name: name != figures.clean):
        for same, attacks in attack_families(figures).items():
            every = {i: size_line(figures, name, condition, attacks) for i, name in enumerate(figures.names)}
            lines = {i: line for i, line in every.items() if sum(eps > 0 for eps in line) > 1}
            if lines and len(drawn) < MOST:
                drawn.append(_curve(figures, condition, same, lines, f"e{len(drawn)}"))
    return drawn


def attack_families(figures: Figures) -> dict[tuple[str, str, str, str], list[str]]:
    """Return the attacks that differ in size alone, by kind, norm, threat and source."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for name in figures.attacked:
        adversary = figures.adversary(name)
        if adversary.norm and adversary.eps:
            same = (adversary.kind, adversary.norm, figures.threat(name), adversary.source or "")
            found.setdefault(same, []).append(name)
    return found


def size_line(
    figures: Figures, system: str, condition: str, attacks: list[str], metric: str = "accuracy"
) -> Points:
    """Return a system's cells by size; where two attacks share a size, the one that left less accuracy."""
    points: Points = {}
    for attack in attacks:
        cell, eps = figures.cell(system, condition, attack), figures.adversary(attack).eps or 0.0
        here = value(cell, "accuracy")
        before = value(points.get(eps), "accuracy")
        if cell and value(cell, metric) and here and (before is None or here.value < before.value):
            points[eps] = cell
    for name in figures.unattacked:
        cell = figures.cell(system, condition, name)
        if points and cell and value(cell, metric):
            points[0.0] = cell
    return dict(sorted(points.items()))


def _curve(
    figures: Figures, condition: str, same: tuple[str, str, str, str], lines: dict[int, Points], name: str
) -> Curve:
    kind, norm, threat, source = same
    sizes = sorted({eps for line in lines.values() for eps in line})
    rows = [
        (
            figures.names[index],
            [level(figures, line[eps]) if eps in line else None for eps in sizes],
        )
        for index, line in lines.items()
    ]
    known = THREATS.get(threat, "") if not source else f"images made on \u2018{source}\u2019"
    facts = ", ".join(filter(None, [f"{threat}: {known}".strip(": "), figures.title(condition)]))
    title = f"{kind}, {NORMS.get(norm, norm)}"
    svg = _draw(figures, norm, lines, name, f"{title}, {facts}")
    flagged = any(cell and cell.flag for _, row in rows for cell in row)
    return Curve(title, facts, svg, [curve_size(norm, eps) for eps in sizes], rows, flagged)


def _draw(figures: Figures, norm: str, lines: dict[int, Points], name: str, title: str) -> str:
    from matplotlib.figure import Figure

    with drawing_settings():
        canvas = Figure(figsize=SIZE)
        canvas.patch.set_visible(False)
        axes = canvas.add_axes((0.085, 0.16, 0.9, 0.8))
        for index, line in sorted(lines.items(), reverse=True):
            _plot(axes, figures, index, line, faint=0.14 if len(lines) <= 3 else 0.07)
        _frame(axes, norm, sorted({eps for line in lines.values() for eps in line}))
        return to_svg(canvas, name, _spoken(figures, norm, lines, title))


def _plot(axes: Axes, figures: Figures, index: int, line: Points, *, faint: float) -> None:
    xs = list(line)
    estimates = [estimate for cell in line.values() if (estimate := value(cell, "accuracy"))]
    ys, lows, highs = zip(*((e.value, e.low, e.high) for e in estimates), strict=True)
    drawn: dict[str, Any] = look(figures, index)
    axes.fill_between(xs, lows, highs, color=drawn["color"], alpha=faint, linewidth=0)
    axes.plot(xs, ys, clip_on=False, **(drawn | {"markersize": 4.5}))
    flagged = [i for i, cell in enumerate(line.values()) if figures.flag(cell)]
    # Hollow: the figure is shown, but a check speaks against it.
    axes.plot(
        [xs[i] for i in flagged],
        [ys[i] for i in flagged],
        linestyle="none",
        marker=drawn["marker"],
        markersize=7,
        markerfacecolor=SENTINELS["paper"],
        markeredgecolor=drawn["color"],
        markeredgewidth=1.4,
        clip_on=False,
        zorder=4,
    )


def _frame(axes: Axes, norm: str, sizes: list[float]) -> None:
    """Draw quiet axes from 0 to 100 %; a tick at each measured size that has room for its label."""
    last = sizes[-1]
    axes.set(xlim=(-0.03 * last, 1.03 * last), ylim=(-0.02, 1.02))
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    axes.set_yticks(shares, [f"{share * 100:.0f}" for share in shares])
    roomy = [eps for i, eps in enumerate(sizes) if all(abs(eps - o) > 0.09 * last for o in sizes[i + 1 :])]
    axes.set_xticks(roomy, ["0" if eps == 0 else size(norm, eps) for eps in roomy])
    axes.set_xlabel(f"size of the perturbation, {NORMS.get(norm, norm)}", color=SENTINELS["muted"])
    quiet_axes(axes, pad=4)


def _spoken(figures: Figures, norm: str, lines: dict[int, Points], title: str) -> str:
    spoken = [
        f"{figures.names[index]} "
        + ", ".join(f"{level(figures, cell).value} at {curve_size(norm, eps)}" for eps, cell in line.items())
        for index, line in lines.items()
    ]
    return f"Accuracy against the size of the perturbation, {title}: " + "; ".join(spoken)
