"""Makes a matplotlib SVG fit for a page: no outside names, no fixed colours, the same bytes each time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "clearsight",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.linewidth": 0.7,
    "path.simplify": True,
}
"""The same bytes each time, and names with a dollar sign as they are."""
SENTINELS = {"ink": "#010101", "muted": "#020202", "rule": "#030303", "paper": "#050505"}
"""Colours to draw with; `clean` turns each into the page's CSS variable of that name."""
SERIES = 10
"""Number of series colours; a page with more series starts again."""

_HREF = "{http://www.w3.org/1999/xlink}href"
_DROP = {"metadata", "title"}


@contextmanager
def drawing_settings() -> Iterator[None]:
    """Draw with matplotlib's defaults and `SETTINGS`, whatever the user's own settings are."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context():
        rcdefaults()
        rcParams.update(SETTINGS)
        yield


def quiet_axes(
    axes: Axes, *, pad: float, muted: str = SENTINELS["muted"], rule: str = SENTINELS["rule"]
) -> None:
    """Leave horizontal rules and the labels of the ticks: no marks, no box, no background.

    Args:
        axes: to draw on.
        pad: points between ticks and their labels.
        muted: colour of the labels.
        rule: colour of the rules.
    """
    axes.tick_params(length=0, pad=pad, labelcolor=muted)
    axes.grid(axis="y", color=rule, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.patch.set_visible(False)


def svg_text(canvas: Figure) -> str:
    """Return what matplotlib writes for a drawing, without date and program."""
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return text.getvalue()


def series_colour(index: int) -> str:
    """Return the colour to draw series ``index`` with; the page knows it as ``--s<index>``."""
    return f"#0404{16 + index % SERIES:02x}"


def clean(source: str, name: str, label: str) -> str:
    """Return SVG text to put inside an HTML page.

    Drops the XML prolog, metadata, namespaces (so the text holds no address) and fixed sizes; makes ids
    unique to the page; replaces the sentinel colours by CSS variables and the font by the page's.

    Args:
        source: what matplotlib wrote, with ``svg.fonttype: none``.
        name: prefix of all ids, unique on the page.
        label: what a screen reader says instead of the image.
    """
    root = ElementTree.fromstring(source)  # our own output, not foreign data
    _tidy(root, name)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.set("role", "img")
    root.set("aria-label", label)
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    text = re.sub(r">\s+<", "><", text)
    for variable, colour in _variables().items():
        text = text.replace(colour, f"var(--{variable})")
    return text


def _variables() -> dict[str, str]:
    return SENTINELS | {f"s{index}": series_colour(index) for index in range(SERIES)}


def _tidy(node: ElementTree.Element, name: str) -> None:
    """Rewrite a node and all below it in place."""
    node.tag = node.tag.rsplit("}", 1)[-1]
    if _HREF in node.attrib:
        node.set("href", f"#{name}-{node.attrib.pop(_HREF)[1:]}")
    if node.tag == "g":
        node.attrib.pop("id", None)
    elif "id" in node.attrib:
        node.set("id", f"{name}-{node.attrib['id']}")
    for key, text in list(node.attrib.items()):
        node.set(key, re.sub(r"url\(#", f"url(#{name}-", text))
    if node.tag == "text":
        node.set("style", _font(node.get("style", "")))
    for child in list(node):
        if child.tag.rsplit("}", 1)[-1] in _DROP:
            node.remove(child)
        else:
            _tidy(child, name)


def _font(style: str) -> str:
    """Keep size and anchor of a text's style; the family comes from the page."""
    size = re.search(r"([\d.]+)px", style)
    kept = [f"font-size: {size.group(1)}px"] if size else []
    kept += [part.strip() for part in style.split(";") if part.strip().startswith(("text-anchor", "fill"))]
    return "; ".join(kept)
