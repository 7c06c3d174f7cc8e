"""`Task`: what one config file asks for. A class of a file in this folder is a new ``task:`` in YAML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.progress import Progress
from clearsight.data.contract.registry import Choice, Registry
from clearsight.data.contract.spec import Spec
from clearsight.data.sources.base import Source

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]


@dataclass(frozen=True)
class Call:
    """How a task was called on the command line.

    Attributes:
        text: the YAML, verbatim.
        out: folder that holds the run folders.
        workers: processes; 0 is one per core.
        device: ``auto``, ``cpu`` or ``cuda``.
        fresh: begin anew where the same run exists.
        on_progress: called with (stage, done, total).
    """

    text: str
    out: Path
    workers: int
    device: str
    fresh: bool
    on_progress: Progress


class Task(Spec):
    """Base of the configs. A subclass adds ``task: Literal["..."]``, its fields and `perform`.

    ``clearsight <command>`` calls `perform`, ``clearsight check`` calls `ready`, and ``clearsight schema``
    writes the fields for editors. The docstring is the help of the command.
    """

    command: ClassVar[str]
    """Its command: ``run`` for ``clearsight run``. A task whose command needs further options, as
    ``run`` and ``train`` do, has it in ``pipelines/cli/app.py`` and no `perform`."""
    recipes: ClassVar[str] = ""
    """Folder with its shipped configs, below that of all recipes."""

    name: Name
    """Goes into the name of the run folder."""
    data: Annotated[Source, Choice(SOURCES)]
    """Images to work on."""

    def perform(self, call: Call) -> Iterable[str]:
        """Hook: do what the config asks for, and return the lines that its command prints."""
        raise NotImplementedError


TASKS = Registry("task", Task, "clearsight.pipelines.config", field="task")
