"""Scripts without a guard: each process that they start would run them again, and start processes too."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

from clearsight.data.contract.errors import ConfigError


def refuse_unguarded(workers: int) -> None:
    """Refuse to start processes from a line of the script that they would run again when they import it.

    Spawned processes import the script that was started. Notebooks, the prompt and packages that are run as a
    whole (``python -m clearsight``) have none to import.

    Raises:
        ConfigError: the line does not stand below ``if __name__ == "__main__":``.
    """
    main = sys.modules.get("__main__")
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if path is None or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):
        return
    frame = inspect.currentframe()
    while frame is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals is vars(main)):
        frame = frame.f_back
    if frame is None or _guarded(Path(path), frame.f_lineno):
        return
    raise ConfigError(
        f"starts {workers} processes, each of which would run this script again",
        where=f"{path}, line {frame.f_lineno}",
        hint="put the call below a line 'if __name__ == \"__main__\":', or say workers=1",
    )


def _guarded(path: Path, line: int) -> bool:
    """Return whether a line is inside an ``if`` about ``__name__``, or cannot be judged."""
    try:
        statements = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return True
    return any(
        isinstance(statement, ast.If)
        and "__name__" in ast.unparse(statement.test)
        and statement.lineno <= line <= (statement.end_lineno or line)
        for statement in statements
    )
