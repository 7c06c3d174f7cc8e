"""Takes the text below each field of a spec as the field's description, when it is needed.

pydantic can do this itself, but does it for every class at import: parsing the sources of a hundred classes
takes longer than everything else that ``clearsight list`` does.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


def describe_fields(base: type[BaseModel]) -> None:
    """Fill in the field descriptions of all classes below ``base`` that are imported so far.

    Call it before the first of them is built (validated or turned into a schema), in a process of its own.
    """
    for model in (base, *_below(base)):
        texts: dict[str, str] = {}
        for owner in reversed(model.__mro__):
            if issubclass(owner, BaseModel) and owner is not BaseModel:
                texts |= _texts(owner)
        for name, about in model.model_fields.items():
            about.description = texts.get(name, about.description)
        # A class whose instance is the default of another class's field was already built at import.
        if model.__pydantic_complete__:
            model.model_rebuild(force=True)


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for found in base.__subclasses__():
        yield found
        yield from _below(found)


def _texts(owner: type[BaseModel]) -> dict[str, str]:
    return _of_module(owner.__module__).get(owner.__name__, {})


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    """Return class -> field -> the string literal that follows the field in the source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError):  # no source: gone with its script, made on the fly, or built in
        return {}
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {found.name: dict(_pairs(found.body)) for found in classes}


def _pairs(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield field.target.id, inspect.cleandoc(str(below.value.value))
