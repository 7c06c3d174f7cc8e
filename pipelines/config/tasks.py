"""`Task`: what one config file asks for. A class of a file in this folder is a new ``task:`` in YAML."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.registry import Choice, Registry
from clearsight.data.contract.spec import Spec
from clearsight.data.sources.base import Source

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]


class Task(Spec):
    """Base of the configs. A subclass adds ``task: Literal["..."]`` and its fields.

    ``clearsight check`` calls `ready`; ``clearsight schema`` writes the fields for editors.
    """

    command: ClassVar[str]
    """Command that does it: ``run`` for ``clearsight run``."""
    recipes: ClassVar[str] = ""
    """Folder with its shipped configs, below that of all recipes."""

    name: Name
    """Goes into the name of the run folder."""
    data: Annotated[Source, Choice(SOURCES)]
    """Images to work on."""


TASKS = Registry("task", Task, "clearsight.pipelines.config", field="task")
