"""Under pytest annotated functions of the package check what they are given and what they return.

`jaxtyping.install_import_hook` would see only the names that a module has while it is imported; the modules of specs
import what their annotations name under ``if TYPE_CHECKING:``, and jaxtyping takes every such name for ``Any``. So
the annotations are read here, when a function is called for the first time, with those imports made.

Loops of attacks call small functions a million times, so the checks cost microseconds: jaxtyping's context of sizes is
opened only by functions whose annotations name shapes, one entry of a list is looked at, and functions inside
functions, which are made anew at every call of the outer one, are left as they are.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import random
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import torch
from jaxtyping import AbstractArray, jaxtyped

# beartype looks at a random entry of a list: it must not draw from the generator that `no_global_rng` watches.
with patch("random.getrandbits", random.Random(0).getrandbits):
    from beartype import BeartypeConf, beartype
    from beartype.door import is_bearable
    from beartype.roar import BeartypeException

CONF = BeartypeConf(is_pep484_tower=True)
"""An int is a float, as it is for mypy."""
DECORATOR = "__check_types__"
_PARSING = threading.Lock()
"""CPython before 3.11.8 counts the depth of a tree for all threads together: two that parse at once fail."""
_checking = True


@contextmanager
def unchecked() -> Iterator[None]:
    """Call functions as they are, for tests that pass wrong types on purpose."""
    global _checking  # one switch for all functions, read at every call
    _checking = False
    try:
        yield
    finally:
        _checking = True


def check_types(function: types.FunctionType) -> Callable[..., Any]:
    """Return the function with checks, which are made at the first call."""

    @functools.cache
    def checked() -> Callable[..., Any]:
        return _checked(function)

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if not _checking or torch.compiler.is_compiling():
            return function(*arguments, **keywords)
        return checked()(*arguments, **keywords)

    return call


def _checked(function: types.FunctionType) -> Callable[..., Any]:
    names = dict(_names(function.__module__)) | {
        name: cell.cell_contents
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        if cell != types.CellType()
    }
    hints = {name: _hint(hint, names) for name, hint in function.__annotations__.items()}
    hints = {name: hint for name, hint in hints.items() if hint is not Any}
    if not hints:
        return function
    plain = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    functools.update_wrapper(plain, function)
    del vars(plain)["__wrapped__"]
    plain.__kwdefaults__ = function.__kwdefaults__
    plain.__annotations__ = hints
    check = beartype(conf=CONF)
    return jaxtyped(plain, typechecker=check) if any(map(_names_shape, hints.values())) else check(plain)


def _names_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(map(_names_shape, get_args(hint)))


def _hint(hint: object, names: dict[str, Any]) -> Any:
    """Return what an annotation means; ``Any`` where beartype cannot tell."""
    try:
        meant: Any = eval(hint, names) if isinstance(hint, str) else hint
    except NameError:
        # A type variable of a class body or a name of an outer function that this one does not use.
        return Any
    try:
        is_bearable(None, meant, conf=CONF)
    except BeartypeException:
        return Any
    return meant


@functools.cache
def _names(module_name: str) -> dict[str, Any]:
    """Return the names of a module, those included that it imports for type checkers only."""
    module = sys.modules[module_name]
    names = dict(vars(module))
    assert module.__file__ is not None
    for node in _parse(Path(module.__file__).read_bytes(), module.__file__).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                _carry_out(each, module.__file__, names)
    # beartype knows what Self is only where it decorates whole classes.
    return names | {"Self": Any}


def _parse(source: bytes, file: str) -> ast.Module:
    with _PARSING:
        return ast.parse(importlib.util.decode_source(source), file)


def _carry_out(node: ast.stmt, file: str, names: dict[str, Any]) -> None:
    """Make an import, or another definition, that is there for type checkers only."""
    try:
        exec(compile(ast.Module([node], []), file, "exec"), names)
    except ImportError:
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            raise
        # What it imports is defined for type checkers only, too.
        importlib.import_module(node.module)
        theirs = _names(node.module)
        names.update({each.asname or each.name: theirs[each.name] for each in node.names})


def _outermost_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield the functions of a module and the methods of its classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child
        elif not isinstance(child, ast.AsyncFunctionDef):
            yield from _outermost_functions(child)


class _Loader(SourceFileLoader):
    """Puts the decorator next to functions and methods, as jaxtyping's own hook does; caches no bytecode."""

    def source_to_code(  # type: ignore[override]  # typeshed names the static method of the base class
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> types.CodeType:
        tree = _parse(data, path)
        for node in _outermost_functions(tree):
            name = ast.Name(DECORATOR, ast.Load(), lineno=node.lineno, col_offset=node.col_offset)
            node.decorator_list.append(ast.fix_missing_locations(ast.copy_location(name, node)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)[DECORATOR] = check_types
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not fullname.startswith(self.packages):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install(*packages: str) -> None:
    """Check the functions of packages (or modules) that are imported from now on."""
    early = [name for name in sys.modules if name.startswith(packages)]
    assert not early, f"imported before their checks could be made: {early}"
    sys.meta_path.insert(0, _Finder(packages))
