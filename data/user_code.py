"""Importing what a field names: ``module:name`` of an installed module, or ``path/to/file.py:name``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, DataError, first_line, near_miss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import ModuleType
    from typing import Any

PATTERN = r"^.+:[A-Za-z_][\w.]*$"
"""What such a field looks like."""
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What code that does not fit its input raises; errors of this project and of the system go through."""


def user_callable(call: str, where: str) -> Callable[..., Any]:
    """Import the module and return what it calls by that name.

    Args:
        call: ``module:name`` or ``path/to/file.py:name``; the name may have dots.
        where: what messages call the part.

    Raises:
        ConfigError: no such module, file or name, or one that cannot be called.
    """
    target: object = _module(call, where)
    for step in call.rpartition(":")[2].split("."):
        if not hasattr(target, step):
            known = [name for name in vars(target) if not name.startswith("_")]
            raise ConfigError(f"there is no '{step}'", where=where, hint=near_miss(step, known))
        target = getattr(target, step)
    if not callable(target):
        raise ConfigError(f"a {type(target).__name__} cannot be called", where=where)
    return target


@contextmanager
def steady_generator() -> Iterator[None]:
    """Let torch's global generator draw the same numbers each time inside, and restore it afterwards."""
    import torch

    from clearsight.data.contract.rng import Rng

    with torch.random.fork_rng(devices=[]):
        # The name of the stream is part of what fresh weights are; it is older than other kinds of user code.
        torch.default_generator.set_state(Rng(0).at("python classifier").torch().get_state())
        yield


def called(call: str, where: str, arguments: Mapping[str, Any]) -> Any:
    """Return what the callable gives for these keyword arguments.

    The call is made with torch's global generator at a fixed state (restored afterwards), so that fresh
    weights are the same each time.

    Raises:
        ConfigError: there is no such callable, or the call fails.
    """
    make = user_callable(call, where)
    with steady_generator():
        try:
            return make(**arguments)
        except Exception as error:
            raise ConfigError(
                f"the call fails: {type(error).__name__}: {first_line(error)}",
                where=where,
                hint="fix 'arguments', or the code",
            ) from error


def wanted(function: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    """Return those of the offered values that the function has parameters for, by name."""
    from inspect import Parameter, signature

    try:
        takes = signature(function).parameters
    except ValueError:
        # Code in C may not tell what it takes: it is given nothing but its first arguments.
        return {}
    if any(each.kind is Parameter.VAR_KEYWORD for each in takes.values()):
        return offered
    return {name: value for name, value in offered.items() if name in takes}


def source_digest(call: str, where: str) -> str:
    """Return the sha256 of the source file that a callable is in; nothing where its module has none.

    A file is read, not imported; of an installed module, the packages that it lies in are imported.

    Raises:
        ConfigError: there is no such file or module.
    """
    from pathlib import Path

    from clearsight.data.weights import digest

    name = call.rpartition(":")[0]
    if name.endswith(".py"):
        return digest(_file(name, where))
    source = getattr(_module(call, where), "__file__", None)
    return digest(Path(source)) if source else ""


def stamps(arguments: Mapping[str, Any]) -> tuple[int, ...]:
    """Return what changes when a file that an argument names is replaced."""
    from pathlib import Path

    named = (Path(value) for value in arguments.values() if isinstance(value, str))
    facts = [path.stat() for path in named if path.is_file()]
    return tuple(number for fact in facts for number in (fact.st_mtime_ns, fact.st_size))


def _module(call: str, where: str) -> ModuleType:
    name = call.rpartition(":")[0]
    if name.endswith(".py"):
        path = _file(name, where)
        try:
            return _load(path)
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ConfigError(f"cannot import {path}: {reason}", where=where) from error
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"cannot import module '{name}': {error}",
            where=where,
            hint="install it, or write the path of its file: path/to/file.py:callable",
        ) from error


def _file(name: str, where: str) -> Path:
    from clearsight.data.home import locate

    try:
        return locate(name)
    except DataError as error:
        raise ConfigError(error.what, where=where, hint="fix the path in 'call'") from None


def _load(path: Path) -> ModuleType:
    """Import a file once, under a name derived from its path and content."""
    import sys
    from hashlib import sha256
    from importlib.util import module_from_spec, spec_from_file_location

    name = "clearsight_user_" + sha256(str(path).encode() + path.read_bytes()).hexdigest()[:24]
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
