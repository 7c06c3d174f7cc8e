"""Writes the page of a search for the best chain: one file that a browser shows without a network."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.home import replace_file
from clearsight.pipelines.report.words import SYMBOLS, number, point_span, points
from clearsight.pipelines.runs.tuned import Tuned


def write_tuned(path: Path, found: Tuned) -> None:
    """Write the page, whole or not at all."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    engine = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.filters |= {"number": number, "points": points}
    page = engine.get_template("tune.html").render(found=found, symbols=SYMBOLS, point_span=point_span)
    replace_file(path, page.encode("utf-8"))
