"""Which configs execute code that is not clearsight's: to be known before a stranger's config runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Spec, kind_of
from clearsight.pipelines.config.conditions import Each

OWN = "clearsight."


def foreign_code(config: BaseModel, *, installed: bool = True) -> list[str]:
    """Return the places of a config that execute code from elsewhere, with what they execute.

    Nothing is executed, imported or opened to find it out. Packages that are installed as plug-ins are loaded
    by every command; a config that uses their kinds names them here.

    Args:
        config: a task, or any spec.
        installed: name kinds of installed packages too, beside those that import what a field names.
    """
    return [
        f"{place}: {reason}"
        for place, spec in _walk(config, "")
        if (reason := _called(spec) or (_installed(spec) if installed else ""))
    ]


def refuse_foreign_code(config: BaseModel, where: str) -> None:
    """Refuse a config that executes code from elsewhere.

    Raises:
        ConfigError: it does; the message names the first place.
    """
    if found := foreign_code(config):
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigError(
            f"executes code: {found[0]}{more}", where=where, hint="run it only if you trust that code"
        )


def _walk(value: Any, place: str) -> Iterator[tuple[str, Spec]]:
    """Yield every spec of a config with its place."""
    if isinstance(value, Each):
        # Its fields are data; what they become are corruptions, of several kinds where `kind` is listed.
        for name, corruption in value.expand().items():
            yield from _walk(corruption, f"{place}.{name}" if place else name)
    elif isinstance(value, BaseModel):
        if isinstance(value, Spec):
            yield place or kind_of(value), value
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), f"{place}.{name}" if place else name)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{place}.{name}" if place else str(name))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _walk(item, f"{place}.{number}")


def _called(spec: Spec) -> str:
    return f"kind {kind_of(spec)} calls '{getattr(spec, spec.executes)}'" if spec.executes else ""


def _installed(spec: Spec) -> str:
    module = type(spec).__module__
    return "" if module.startswith(OWN) else f"kind {kind_of(spec)} is from the package '{module}'"
