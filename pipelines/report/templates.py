"""The engine that fills the HTML templates beside this file: one for all pages, compiled once a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.pipelines.report.words import CHANGES, FLAGS, SYMBOLS, number, plain

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def engine() -> Environment:
    """Return the engine: it escapes everything, and refuses names that a page was not given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = plain
    made.filters["number"] = number
    # Only for what clearsight.pipelines.report.charts drew: labels in it are escaped.
    made.filters["svg"] = Markup
    made.globals.update(changes=CHANGES, flags=FLAGS, symbols=SYMBOLS)
    return made
