"""Kinds of a script or a notebook cell: usable at once, in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import REGISTERED, registries
from clearsight.data.contract.spec import Spec, kind_of

T = TypeVar("T", bound=Spec)


def register(entry: type[T]) -> type[T]:
    """Make a class one of the kinds of every registry that it belongs to, and return it: a decorator.

    A class of the same module and name (a cell that was executed again) is replaced.

    Raises:
        ConfigError: it is no class of a spec, has no kind, belongs nowhere, or another kind is called so.
    """
    if not (isinstance(entry, type) and issubclass(entry, Spec)):
        raise ConfigError("is no class that derives from a spec", where=f"register({entry!r})")
    where = f"register({entry.__qualname__})"
    # A cell has no module that annotations could be looked up in later.
    entry.model_rebuild(force=True)
    about = entry.model_fields.get("kind")
    if about is None or get_origin(about.annotation) is not Literal or len(get_args(about.annotation)) != 1:
        raise ConfigError("has no kind", where=where, hint='add the field kind: Literal["name"] = "name"')
    name = f"{entry.__module__}.{entry.__qualname__}"
    before = REGISTERED.pop(name, None)
    REGISTERED[name] = entry
    try:
        for registry in registries():
            registry.forget()
        found = [registry for registry in registries() if entry in registry.kinds.values()]
        if not found:
            raise ConfigError(
                "belongs to no registry",
                where=where,
                hint="derive from Corruption, RestorerSpec, Attack, ...",
            )
    except ConfigError:
        del REGISTERED[name]
        if before is not None:
            REGISTERED[name] = before
        for registry in registries():
            registry.forget()
        raise
    _rebuild()
    return entry


def refuse_unsendable(job: Any) -> None:
    """Refuse to send to another process what is described by a class that cannot be imported there.

    Args:
        job: data classes, models and collections of them.

    Raises:
        ConfigError: it holds a kind that was registered in a notebook, a prompt or a function.
    """
    own = {entry for entry in REGISTERED.values() if not _importable(entry)}
    for spec in _specs(job) if own else ():
        if type(spec) in own:
            raise ConfigError(
                "is defined where a worker process cannot import it (a notebook, a prompt or a function)",
                where=f"kind '{kind_of(spec)}'",
                hint="use workers=1, or put the class into a module and import it",
            )


def _importable(entry: type) -> bool:
    module = sys.modules.get(entry.__module__)
    # Only a script's __main__ has a file, which a new process runs again.
    return "<locals>" not in entry.__qualname__ and getattr(module, "__file__", None) is not None


def _specs(value: Any) -> Iterator[Spec]:
    if isinstance(value, Spec):
        yield value
    if isinstance(value, BaseModel):
        inside = [getattr(value, name) for name in type(value).model_fields]
    elif is_dataclass(value) and not isinstance(value, type):
        inside = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, Mapping):
        inside = list(value.values())
    else:
        inside = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
    for each in inside:
        yield from _specs(each)


def _rebuild() -> None:
    """Build the classes again that were built with the choices of before."""
    built = [model for model in _below(BaseModel) if _ours(model) and model.__pydantic_complete__]
    for model in built:
        # A class is built of those inside it: first all of them forget, then each is built.
        if "__pydantic_core_schema__" in vars(model):
            del model.__pydantic_core_schema__
    for model in built:
        model.model_rebuild(force=True)


def _ours(model: type[BaseModel]) -> bool:
    return model.__module__.startswith("clearsight.") or issubclass(model, Spec)


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for found in dict.fromkeys(base.__subclasses__()):
        yield found
        yield from _below(found)
