"""Figures in README and docs: each has a source, and the source is still what it was."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import report_fixture as fixture

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.corruptions.snow import Snow
from clearsight.data.weights import find
from clearsight.pipelines.cli.configs import RECIPES, read_evaluate
from clearsight.pipelines.cli.run import report_command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.report.provenance import DIGITS, OLDER, Source, sources
from clearsight.pipelines.runs.sealed import mark_complete

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FIGURE = re.compile(r"\d[\d.]* ?(%|dB|\[)|\[[+-]?\d|▲|▼")


def digest(name: str) -> str:
    _, config = read_evaluate(Path(name))
    return config.digest()


def blocks(text: str) -> list[tuple[Source, str]]:
    """Return every source with the text below it, up to the next source or heading."""
    told = sources(text)
    headings = [match.start() for match in re.finditer(r"^#+ ", text, re.MULTILINE)]
    found = []
    for start, source in told:
        ends = [place for place in (*(s for s, _ in told), *headings) if place > start]
        found.append((source, text[start : min(ends, default=len(text))]))
    return found


def measured_tables(text: str) -> list[str]:
    """Return the tables that hold figures with a unit, an interval or an arrow."""
    tables = re.findall(r"(?:^\|.*\n)+", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return [table for table in tables if len(FIGURE.findall(table)) >= 3]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_table_of_figures_says_what_it_was_measured_by(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    covered = "".join(below for _, below in blocks(text))
    for table in measured_tables(text):
        assert table in covered, f"no '<!-- measured: ... -->' above the table that begins\n{table[:200]}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_drawings_are_called_so_wherever_a_figure_of_them_stands(document: Path) -> None:
    """`signs` is drawn by this package: no section may show a figure of it without the word."""
    text = document.read_text(encoding="utf-8")
    for section in re.split(r"^(?=#+ )", text, flags=re.MULTILINE):
        drawn = re.search(r"<!-- measured: [^>]*\b(quickstart|signs-)", section) or "signs-" in "".join(
            measured_tables(section)
        )
        assert not drawn or "synthetic" in section, section[:200]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_sources_of_figures_have_not_changed(document: Path) -> None:
    for source, below in blocks(document.read_text(encoding="utf-8")):
        if source.recipe == OLDER:
            words = f"{source.name}: say below the comment that the figures are of an older recipe"
            assert "older recipe" in " ".join(below.split()), words
        elif source.recipe:
            now = digest(source.name)
            words = (
                f"the recipe '{source.name}', or a default in it, has changed since {document.name} was written: run it "
                f"again and 'clearsight report RUN --markdown --into {document.name}'; or write 'recipe {OLDER}' and "
                f"say in the text that the figures are of an older recipe; or, where no figure changes, '{now}'"
            )
            assert source.recipe == now, words
        else:
            assert (ROOT / source.name).exists(), f"{source.name}: neither a recipe's digest nor a file here"
        for name, sha in source.weights.items():
            assert find(name).sha256.startswith(sha), f"{name} has changed since {document.name} was written"


def test_a_changed_corruption_is_seen_within_sets_and_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    # c15 and 'mixed' of the one name no kind, 'each' of the other stands for several severities.
    recipes = ("gate-tinyimagenet20", "gtsrb43", "quickstart")
    before = [digest(name) for name in recipes]
    monkeypatch.setattr(Snow, "revision", Snow.revision + 1)
    after = [digest(name) for name in recipes]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True, False]


def test_a_changed_recipe_default_or_weight_is_seen() -> None:
    _, config = read_evaluate(Path("quickstart"))
    resolved: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    before = config.digest()
    assert Evaluate.model_validate(resolved | {"title": "another"}).digest() == before
    for place in (("seed",), ("data", "count"), ("parts", "denoise", "iterations"), ("draws",)):
        changed = json.loads(json.dumps(resolved))
        entry = changed
        for step in place[:-1]:
            entry = entry[step]
        entry[place[-1]] += 1
        assert Evaluate.model_validate(changed).digest() != before, place


def test_a_comment_is_read_as_it_was_written() -> None:
    told = [
        Source("quickstart", "0123456789ab", {"signs-standard-v1": "a" * DIGITS, "other-v2": "b" * DIGITS}),
        Source("benchmarks/attacks.py"),
        Source("imagenette", OLDER),
    ]
    text = "\n\n".join(["Words.", *(source.comment() for source in told), "More."])
    assert [source for _, source in sources(text)] == told


@pytest.mark.slow
def test_the_command_writes_a_block_and_touches_nothing_else(tmp_path: Path) -> None:
    made = fixture.summary(kinds=["fog", "snow"], severities=(1, 3))
    run = fixture.write_run(tmp_path / "run", made)
    RunFolder(run).resolved.write_text(json.dumps({"digest": "0123456789ab", "config": {}, "cells": []}))
    mark_complete(RunFolder(run))
    document = tmp_path / "page.md"
    document.write_text(
        "# Before\n\n<!-- measured: quickstart -->\nold\n<!-- end of quickstart -->\n\nAfter.\n"
    )
    report_command(run, markdown=True, into=document)
    text = document.read_text()
    assert text.startswith("# Before\n\n<!-- measured: quickstart; recipe ")
    assert text.endswith("<!-- end of quickstart -->\n\nAfter.\n")
    assert "old" not in text.split("\n")
    ((_, source),) = sources(text)
    assert source.recipe == "0123456789ab"
    assert set(source.weights) == {"signs-standard-v1"}
    assert "| system | clean |" in text
    assert "> On 300 images, compared with" in text
    report_command(run, markdown=True, into=document)
    assert document.read_text() == text, "twice is once"


@pytest.mark.slow
def test_a_document_without_a_place_is_refused(tmp_path: Path) -> None:
    run = fixture.write_run(tmp_path / "run", fixture.summary(kinds=["fog"], severities=(1,)))
    RunFolder(run).resolved.write_text(json.dumps({"digest": "0123456789ab", "config": {}, "cells": []}))
    mark_complete(RunFolder(run))
    document = tmp_path / "page.md"
    document.write_text("Nothing.\n")
    with pytest.raises(RunError, match="no block for 'quickstart'"):
        report_command(run, markdown=True, into=document)
    with pytest.raises(RunError, match="cannot be read"):
        report_command(run, markdown=True, into=tmp_path / "missing.md")
    with pytest.raises(ConfigError, match="add --markdown"):
        report_command(run, markdown=False, into=document)
    assert document.read_text() == "Nothing.\n"


def test_every_shipped_recipe_with_a_digest_is_one() -> None:
    names = {s.name for d in DOCUMENTS for _, s in sources(d.read_text(encoding="utf-8")) if s.recipe}
    assert names <= {path.stem for path in RECIPES.glob("*.yaml")}


@pytest.mark.slow
def test_every_kind_of_fault_has_a_test_file_that_names_it() -> None:
    """The table of docs/reliability.md: files that are there, say what they are about, and hold three cases or more."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (.+?) \|.*\| (`tests/.+?) \|$", text.partition("## Kinds of fault")[2], re.MULTILINE
    )
    assert len(rows) > 20
    for kind, named in rows:
        files = re.findall(r"`(tests/[^`]+)`", named)
        assert files, kind
        trees = [ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in files]
        assert all(map(ast.get_docstring, trees)), kind
        tests = [
            node
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        cases = len(tests) + sum(len(node.decorator_list) for node in tests)
        assert cases >= 3 or kind == "missing figures", kind


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`?((?:tests|benchmarks)/[\w/.-]+\.py)", text))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
