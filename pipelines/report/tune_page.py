"""Writes the page of a search for the best chain: one file that a browser shows without a network."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.home import replace_file
from clearsight.pipelines.report.templates import engine
from clearsight.pipelines.report.words import point_span, points
from clearsight.pipelines.runs.tuned import Tuned


def write_tuned(path: Path, found: Tuned) -> None:
    """Write the page, whole or not at all."""
    page = engine().get_template("tune.html")
    filled = page.render(found=found, points=points, point_span=point_span)
    replace_file(path, filled.encode("utf-8"))
