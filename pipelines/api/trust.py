"""`check`: what ``clearsight check`` does before it counts cells, as a function."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from clearsight.data.home import expanded
from clearsight.pipelines.cli.configs import read_any
from clearsight.pipelines.config.tasks import Task
from clearsight.pipelines.config.trust import refuse_foreign_code


def check(config: str | PathLike[str], *, untrusted: bool = False) -> Task:
    """Return a config after checking it and that its files, weights and packages are there.

    Args:
        config: a YAML file, or the name of a shipped recipe.
        untrusted: refuse it where using it would execute code that is not clearsight's (kind ``python``,
            kinds of plug-ins); this is decided before anything that it names is opened.

    Raises:
        ConfigError: it cannot be read, is wrong, or would execute code.
        ClearsightError: something that it names is not there.
    """
    document, task = read_any(expanded(Path(config)))
    if untrusted:
        refuse_foreign_code(task, str(document.path))
    task.ready()
    return task
