"""Writes the page of a queue of trainings, which a browser reloads every minute while one runs."""

from __future__ import annotations

from pathlib import Path

from clearsight.data.home import replace_file
from clearsight.pipelines.report.templates import engine
from clearsight.pipelines.runs.queued import Queued

REFRESH = 60
"""Seconds until a browser reads the page again."""


def write_queue_page(path: Path, queued: Queued, chart: str) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the page.
        queued: what has been done so far.
        chart: name of the curve's file in a run folder.
    """
    refresh = REFRESH if queued.count("running") else None
    page = engine().get_template("queue.html").render(found=queued, refresh=refresh, chart=chart)
    replace_file(path, page.encode("utf-8"))
