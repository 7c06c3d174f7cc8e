"""Where a table of a document came from: a comment with recipe and weights; and the block rewritten."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.home import replace_file
from clearsight.pipelines.report.ending import images_of
from clearsight.pipelines.report.figures import Figures
from clearsight.pipelines.report.findings import findings
from clearsight.pipelines.report.markdown import markdown
from clearsight.pipelines.report.words import count
from clearsight.pipelines.runs.sealed import complete
from clearsight.pipelines.runs.summary import RunSummary

OLDER = "older"
"""In place of a digest: the recipe has changed since the measurement."""
DIGITS = 12
"""Digits of a sha256 that a comment holds."""
_COMMENT = re.compile(r"^<!-- measured: (?P<name>[^;>]+?)(?P<facts>(; [^;>]+)*) -->$", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """What figures of a document were measured by.

    Attributes:
        name: of a shipped recipe, or the path of what measured it.
        recipe: digest of the config with every default, as the run wrote it; `OLDER`; nothing where no
            recipe measured it.
        weights: id -> the first digits of their sha256.
    """

    name: str
    recipe: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)

    def comment(self) -> str:
        """Return the comment that stands before its tables."""
        facts = [f"recipe {self.recipe}"] if self.recipe else []
        if self.weights:
            facts.append("weights " + ", ".join(f"{name} {sha}" for name, sha in self.weights.items()))
        return f"<!-- measured: {'; '.join([self.name, *facts])} -->"


def sources(text: str) -> list[tuple[int, Source]]:
    """Return the comments of a document with the places where they stand."""
    found = []
    for match in _COMMENT.finditer(text):
        told = dict(fact.split(" ", 1) for fact in match["facts"].split("; ")[1:])
        weights = dict(item.split(" ") for item in told.get("weights", "").split(", ") if item)
        found.append((match.start(), Source(match["name"], told.get("recipe", ""), weights)))
    return found


def source_of(folder: RunFolder, run: RunSummary) -> Source:
    """Return what a run measured with.

    Raises:
        RunError: the run is not complete, is damaged, or an older version made it.
    """
    digest = json.loads(complete(folder).read(folder.resolved)).get("digest")
    if not digest:
        raise RunError("has no digest", where=str(folder.resolved), hint="run that config again")
    parts = [part for system in run.systems for part in system.parts]
    weights = {part.weights: part.sha256[:DIGITS] for part in parts if part.weights and part.sha256}
    return Source(run.name, str(digest), dict(sorted(weights.items())))


def write_into(
    document: Path, folder: RunFolder, summary: Mapping[str, Any], further: Sequence[str] = ()
) -> None:
    """Write a run's opening sentences and tables between its two comments in a document.

    The block begins with ``<!-- measured: NAME ... -->`` and ends with ``<!-- end of NAME -->``, where NAME
    is the run's.

    Args:
        document: a Markdown file.
        folder: the run.
        summary: the contents of its ``summary.json``.
        further: metrics that have tables of their own beside the accuracy.

    Raises:
        ConfigError: one of these was not measured.
        RunError: the document cannot be read, or has no such block.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot be read: {error}", where=str(document)) from None
    figures = Figures(summary)
    source = source_of(folder, figures.run)
    end = f"<!-- end of {source.name} -->"
    start = next((place for place, found in sources(text) if found.name == source.name), None)
    stop = text.find(end)
    if start is None or stop < start:
        hint = f"write '<!-- measured: {source.name} -->' and, below it, '{end}' where the tables shall stand"
        raise RunError(f"has no block for '{source.name}'", where=str(document), hint=hint)
    block = "\n\n".join(
        [
            source.comment(),
            _facts(figures.run),
            f"> {' '.join(findings(figures))}",
            markdown(summary, further),
        ]
    )
    replace_file(document, f"{text[:start]}{block}\n{text[stop:]}".encode())


def _facts(run: RunSummary) -> str:
    facts = [
        f"{run.data.description}: {images_of(run)}",
        f"{len(run.data.skipped)} skipped",
        count(len(run.cells), "cell"),
        f"run key `{run.key[:8]}`",
    ]
    if run.comparison.baseline and run.comparison.comparisons:
        facts.append(f"{count(run.comparison.comparisons, 'comparison')} with `{run.comparison.baseline}`")
    return f"{'; '.join(facts)}."
