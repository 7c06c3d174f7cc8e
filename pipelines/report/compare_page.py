"""Writes the page of a comparison of two runs: one file that a browser shows without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clearsight.data.home import replace_file
from clearsight.pipelines.report.templates import engine
from clearsight.pipelines.runs.across import Across, Line


def write_comparison(
    path: Path, comparison: Across, lines: Sequence[Line], rules: Sequence[tuple[str, bool]]
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        comparison: the comparison.
        lines: those that are shown.
        rules: text of each rule, and whether it was broken.
    """
    page = engine().get_template("compare.html").render(found=comparison, lines=lines, rules=rules)
    replace_file(path, page.encode("utf-8"))
