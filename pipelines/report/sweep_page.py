"""Writes the page of a sweep: one file that a browser shows without a network."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.home import replace_file
from clearsight.pipelines.report.templates import engine
from clearsight.pipelines.report.words import quantity, span
from clearsight.pipelines.runs.displays import display_of
from clearsight.pipelines.runs.swept import Swept


def write_swept(path: Path, found: Swept) -> None:
    """Write the page, whole or not at all."""
    page = engine().get_template("sweep.html")
    label = display_of(found.metric).label
    filled = page.render(found=found, label=label, quantity=quantity, span=span)
    replace_file(path, filled.encode("utf-8"))
