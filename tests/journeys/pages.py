"""The files and commands that a page shows, to be written and run as a reader would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clearsight.pipelines.cli.app import main

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w./-]+\.(?:py|yaml))\n")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: what the page says behind the fence.
        text: what is in it.
    """

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """Return the name of the file that the first line says it is."""
        match = NAME.match(self.text)
        return match[1] if match else None

    @property
    def commands(self) -> list[list[str]]:
        """Return the words of every ``clearsight`` command, without those behind ``#``."""
        lines = re.findall(r"^\$ clearsight (.*)$", self.text, re.MULTILINE)
        return [shlex.split(line, comments=True) for line in lines]


def blocks(page: str, heading: str) -> Iterator[Block]:
    """Yield the blocks below a heading of the second level of a page in docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    _, _, below = text.partition(f"\n## {heading}\n")
    assert below, f"{page} has no heading '{heading}'"
    for match in BLOCK.finditer(below.partition("\n## ")[0]):
        yield Block(match[1], match[2])


def follow(page: str, heading: str) -> None:
    """Do in the working folder what a section says, in order: write its files, run its commands."""
    for block in blocks(page, heading):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        for words in block.commands:
            # In this process: a test has no cores of its own.
            done_by(*words, *(("--workers", "1", "--quiet") if words[0] == "run" else ()))


def done_by(*words: str) -> None:
    """Run a command that succeeds."""
    with pytest.raises(SystemExit) as done:
        main(words)
    assert not done.value.code, words
