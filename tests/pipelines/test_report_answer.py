"""The first screen of a report, images that restoration saved and broke, and tables as files."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import report_fixture as fixture

from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.report.answer import answer, best
from clearsight.pipelines.report.downloads import downloads
from clearsight.pipelines.report.figures import ALL, Column, Figures, value, versus
from clearsight.pipelines.report.gallery import MOST, gallery
from clearsight.pipelines.report.page import write_report

SYSTEMS = ("plain", "one", "two", "three")
KINDS = ["gaussian_noise", "fog", "zoom_blur"]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return fixture.summary(SYSTEMS, kinds=KINDS, severities=(1, 3))


@pytest.fixture(scope="module")
def run(made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = fixture.write_run(tmp_path_factory.mktemp("answer") / "run", made)
    fixture.add_images(run, made, samples=4)
    return run


def overall(figures: Figures, name: str) -> Any:
    return versus(figures.entry(name, Column(ALL, "none", ALL, 6)))


def test_the_answer_names_what_helps_most_and_what_hurts_most(made: dict[str, Any]) -> None:
    figures = Figures(made)
    gains = {name: overall(figures, name).difference for name in figures.others}
    first = max(gains, key=lambda name: gains[name])
    assert best(figures) == first
    told = answer(figures)
    assert told.startswith("On 300 ")
    assert f"‘{first}’ helps most: {100 * gains[first]:.1f} points over all corruptions (" in told
    losses = {
        (name, column.group): gap.difference
        for name in figures.others
        for column in figures.columns()
        if (gap := versus(figures.entry(name, column))) and gap.verdict == "hurts"
    }
    if losses:
        (name, _), size = min(losses.items(), key=lambda each: each[1])
        assert f"‘{name}’ hurts most: {abs(100 * size):.1f} points" in told
    else:
        assert told.endswith("Nothing clearly hurts.")


def test_without_a_baseline_nothing_is_answered() -> None:
    figures = Figures(fixture.summary(SYSTEMS, kinds=["fog"], baseline=None))
    assert best(figures) is None
    assert answer(figures) == ""


def test_saved_and_broken_are_what_the_kept_images_say(made: dict[str, Any], run: Path) -> None:
    figures = Figures(made)
    found = gallery(RunFolder(run), figures)
    entries = json.loads((run / "images" / "images.json").read_text())
    right = {
        (figures.title(e["condition"]), e["sample"], e["system"]): e["prediction"] == e["label"]
        for e in entries
        if e["system"]
    }
    known = {"saved": (False, True), "broken": (True, False)}
    for fate, pairs in found.fates.items():
        expected = [
            place
            for place in right
            if place[2] != "plain" and (right[(*place[:2], "plain")], right[place]) == known[fate]
        ]
        assert len(pairs) == min(MOST, len(expected))
        assert {(pair.title, pair.sample, pair.system) for pair in pairs} <= set(expected)
        for pair in pairs:
            assert tuple(tile.guesses[0].right for tile in pair.tiles) == known[fate]
    # Three for the first screen, of the system that gains most, a saved one first.
    assert len(found.opening) == 3
    assert {pair.system for pair in found.opening} == {best(figures)}
    assert len({pair.title for pair in found.opening[1:]}) == 2
    gained = sum(c["versus"]["gained"] for c in made["cells"] if c["system"] == "one")
    assert found.counts[0][:2] == ("one", gained)


def test_tables_as_files_hold_the_numbers_of_the_summary(made: dict[str, Any]) -> None:
    figures = Figures(made)
    headline, cells = downloads(figures)
    rows = {}
    for file in (headline, cells):
        text = base64.b64decode(file.source.removeprefix("data:text/csv;charset=utf-8;base64,")).decode()
        rows[file.name] = list(csv.DictReader(io.StringIO(text)))
        assert len(rows[file.name]) == file.rows
    assert len(rows["cells.csv"]) == len(made["cells"])
    for row, cell in zip(rows["cells.csv"], figures.cells, strict=True):
        estimate, gap = value(cell, "accuracy"), versus(cell)
        assert estimate is not None
        assert (float(row["accuracy"]), float(row["accuracy_low"])) == (estimate.value, estimate.low)
        assert row["verdict"] == (gap.verdict if gap else "")
    means = [row for row in rows["headline.csv"] if row["group"] == ALL and row["system"] == "two"]
    assert [float(row["difference"]) for row in means] == [overall(figures, "two").difference]


def test_the_page_answers_first_and_folds_the_rest(made: dict[str, Any], run: Path) -> None:
    source = write_report(run).read_text(encoding="utf-8")
    body = source.partition("<body>")[2]
    assert body.index('class="answer"') < body.index('class="opening"') < body.index('id="run"')
    assert body.count('<article class="pair">') > 3
    folded = re.findall(
        r'<details class="fold">\s*<summary><h2>([^<]+)</h2></summary>\s*<section id="([^"]+)">', body
    )
    names = {name for _, name in folded}
    assert {"headline", "saved", "severity", "conditions", "measures", "images", "cost", "fine"} <= names
    # Headings go down one level at a time; every table has a caption or stands below its heading.
    levels = [int(level) for level in re.findall(r"<h([1-6])", body)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert re.search(r'download="quickstart-cells.csv"', body)
    for metric in ("ECE", "PSNR"):
        table = body.partition("Every measure under every condition")[2]
        assert metric in table.partition("</thead>")[0]
