"""Certified accuracy against radius: the curve of each system, its upper bounds, and the tables behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clearsight.pipelines.report.charts import look, to_svg
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.svg import drawing_settings, quiet_axes
from clearsight.pipelines.report.words import NORMS, number, quantity, size, span
from clearsight.pipelines.runs.certified import CertificateFacts, CertifiedFigures, CertifiedShare

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (4.3, 2.5)
"""Inches of a chart."""


@dataclass(frozen=True)
class Bound:
    """Certified accuracy at one radius.

    Attributes:
        value: lower bound, as text.
        interval: of the sample of images.
        upper: what the strongest attack up to this radius left; empty where no attack has this radius.
    """

    value: str
    interval: str
    upper: str


@dataclass(frozen=True)
class CertifiedRow:
    """A system in the table of a certificate."""

    system: str
    bounds: list[Bound]
    radius: str
    radius_interval: str
    abstained: str
    samples: str
    milliseconds: str
    told: str


@dataclass(frozen=True)
class CertifiedTable:
    """A certificate under a condition: the chart, and the table behind it.

    Attributes:
        contradicted: certified images that an attack within the radius broke, in words; it should be empty.
    """

    title: str
    facts: str
    images: int
    radii: list[str]
    rows: list[CertifiedRow]
    svg: str
    contradicted: list[str]


def certified_tables(figures: Figures, *, draw: bool = True) -> list[CertifiedTable]:
    """Return a table for every certificate and condition, in the order of the run."""
    by_place: dict[tuple[str, str], list[CertifiedFigures]] = {}
    for cell in figures.run.certified:
        by_place.setdefault((cell.condition, cell.certificate), []).append(cell)
    facts = {each.name: each for each in figures.run.certificates}
    return [
        _table(figures, condition, facts[name], cells, f"v{i}" if draw else "")
        for i, ((condition, name), cells) in enumerate(by_place.items())
    ]


def _table(
    figures: Figures, condition: str, facts: CertificateFacts, cells: Sequence[CertifiedFigures], name: str
) -> CertifiedTable:
    title = f"{facts.name}, {figures.title(condition)}"
    radii = [share.radius for share in cells[0].shares]
    return CertifiedTable(
        title=title,
        facts=_facts(facts),
        images=cells[0].n,
        radii=[f"{NORMS[facts.norm]} {size(facts.norm, radius)}" for radius in radii],
        rows=[_row(cell) for cell in cells],
        svg=_draw(figures, facts.norm, cells, name, title) if name else "",
        contradicted=[
            f"{cell.system}: {upper.attack} broke {upper.contradicted} images certified to its radius"
            for cell in cells
            for upper in cell.upper
            if upper.contradicted
        ],
    )


def _facts(facts: CertificateFacts) -> str:
    shown = [f"{field} {facts.settings[field]:g}" for field in SHOWN if field in facts.settings]
    return ", ".join([facts.kind, *shown])


SHOWN = ("sigma", "n0", "n", "alpha")


def _row(cell: CertifiedFigures) -> CertifiedRow:
    mean, abstained = cell.average_radius, cell.abstained
    time = cell.ms_per_image.value if cell.ms_per_image else None
    return CertifiedRow(
        system=cell.system,
        bounds=[_bound(cell, share) for share in cell.shares],
        radius=number(mean.value, 3),
        radius_interval=f"{number(mean.low, 3)} to {number(mean.high, 3)}",
        abstained=quantity(abstained.value, "accuracy"),
        samples="" if cell.samples is None else f"{cell.samples:,.0f}",
        milliseconds=number(time, 0),
        told=", ".join(cell.told),
    )


def _bound(cell: CertifiedFigures, share: CertifiedShare) -> Bound:
    upper = upper_at(cell, share.radius)
    exact = any(abs(each.radius - share.radius) < 1e-9 for each in cell.upper)
    return Bound(
        quantity(share.value, "accuracy", unit=False),
        span(share.low, share.high, "accuracy"),
        quantity(upper, "accuracy", unit=False) if exact else "",
    )


def upper_at(cell: CertifiedFigures, radius: float) -> float:
    """Return the least upper bound that holds at a radius: accuracy only falls as the ball grows."""
    return min((each.value for each in cell.upper if each.radius <= radius + 1e-9), default=1.0)


def _draw(figures: Figures, norm: str, cells: Sequence[CertifiedFigures], name: str, title: str) -> str:
    from matplotlib.figure import Figure

    last = max(share.radius for cell in cells for share in cell.shares)
    last = max([last, *(step.radius for cell in cells for step in cell.steps)])
    with drawing_settings():
        canvas = Figure(figsize=SIZE)
        canvas.patch.set_visible(False)
        axes = canvas.add_axes((0.085, 0.16, 0.9, 0.8))
        for cell in reversed(cells):
            _plot(axes, figures, cell, last, faint=0.14 if len(cells) <= 3 else 0.07)
        _frame(axes, norm, cells[0], last)
        spoken = "; ".join(
            f"{cell.system} {quantity(cell.shares[0].value, 'accuracy')} certified, mean radius"
            f" {number(cell.average_radius.value, 3)}"
            for cell in cells
        )
        return to_svg(canvas, name, f"certified accuracy against radius, {title}: {spoken}")


def _plot(axes: Axes, figures: Figures, cell: CertifiedFigures, last: float, *, faint: float) -> None:
    style = look(figures, figures.names.index(cell.system))
    drawn = style | {"marker": None, "markersize": 0}
    radii = [0.0, *(step.radius for step in cell.steps), last]
    counts = [*(step.images for step in cell.steps[:1]), *(step.images for step in cell.steps), 0]
    lower = [count / cell.n for count in ([0, 0] if not cell.steps else counts)]
    axes.plot(radii, lower, drawstyle="steps-pre", clip_on=False, **drawn)
    points = sorted({*radii, *(each.radius for each in cell.upper)})
    least = [_lower_at(radii, lower, point) for point in points]
    most = [upper_at(cell, point) for point in points]
    axes.fill_between(points, least, most, step="post", color=drawn["color"], alpha=faint, linewidth=0)
    axes.plot(
        [each.radius for each in cell.upper],
        [each.value for each in cell.upper],
        linestyle="none",
        marker=style["marker"],
        markersize=4.5,
        color=drawn["color"],
        clip_on=False,
    )


def _lower_at(radii: Sequence[float], lower: Sequence[float], point: float) -> float:
    """Return what is certified just above a point, as a step to its right is drawn."""
    return next((value for radius, value in zip(radii, lower, strict=True) if radius > point), 0.0)


def _frame(axes: Axes, norm: str, cell: CertifiedFigures, last: float) -> None:
    """Draw quiet axes from 0 to 100 %; a tick at each radius of the table."""
    axes.set(xlim=(-0.01 * last, 1.01 * last), ylim=(-0.02, 1.02))
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100"])
    ticks = [share.radius for share in cell.shares]
    shown = [tick for i, tick in enumerate(ticks) if i == 0 or tick - ticks[i - 1] > 0.06 * last]
    axes.set_xticks(shown, [size(norm, tick) for tick in shown])
    quiet_axes(axes, pad=3)
