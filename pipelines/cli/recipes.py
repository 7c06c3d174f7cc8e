"""The shipped recipes, as ``clearsight list recipes`` shows them: read as text, as parsing takes long."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clearsight.pipelines.cli.configs import RECIPES
from clearsight.pipelines.config.tasks import TASKS


def listed() -> Iterator[tuple[str, str, str]]:
    """Yield (name, command, what it is for) of every shipped recipe."""
    for folder in ("", *sorted({task.recipes for task in TASKS} - {""})):
        for path in sorted((RECIPES / folder).glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            task = re.search(r"^task: (\w+)", text, re.MULTILINE)
            yield path.stem, f"clearsight {TASKS[task[1]].command}" if task else "", _purpose(text)


def _purpose(text: str) -> str:
    """Return the first sentence of the comment that a recipe begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# yaml-language-server"):
            lines.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.?])(?<!et al\.)\s", " ".join(lines), maxsplit=1)[0]
