"""Dataclasses as JSON files of a run hold them: one way to write them, and one to read them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from clearsight.data.contract.errors import RunError

T = TypeVar("T")
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
"""Cache: making one takes longer than reading a file with it."""


def to_plain(content: object) -> dict[str, Any]:
    """Return a dataclass as plain data, fields in the order of their declaration."""
    plain: dict[str, Any] = _adapter(type(content)).dump_python(content)
    return plain


def from_plain(cls: type[T], content: Mapping[str, Any], *, noun: str, schema: int, again: str) -> T:
    """Return the dataclass that a file holds.

    Args:
        cls: the dataclass.
        content: of the file, with its ``schema``.
        noun: what the file is called: ``summary`` for ``summary.json``.
        schema: the one that this version reads.
        again: how the user gets a new file where this one cannot be read.

    Raises:
        RunError: it has another schema, lacks a field, or has a value of another type.
    """
    where = f"{noun}.json"
    if content.get("schema") != schema:
        article = "an" if noun[0] in "aeiou" else "a"
        raise RunError(
            f"cannot read {article} {noun} of schema {content.get('schema')!r}",
            where=where,
            hint=f"this version reads schema {schema}: {again}",
        )
    try:
        read: T = _adapter(cls).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise RunError(
            f"damaged: {place}: {first['msg']}", where=where, hint="run that config again"
        ) from None
    return read


def _adapter(cls: type) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]
