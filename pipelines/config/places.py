"""Values of a config named by their place: ``model.depth``, ``systems.plain.0``."""

from __future__ import annotations

from typing import Any

from clearsight.data.contract.errors import ConfigError


def put(node: Any, place: str, given: Any, where: str) -> Any:
    """Return a copy of a config's plain data with one value replaced.

    Args:
        node: the data.
        place: keys separated by dots, an item of a list by its index from 0. New keys are added.
        given: the value.
        where: what messages call the change.

    Raises:
        ConfigError: an index beyond a list, or a place inside a scalar.
    """
    return _put(node, place.strip().split("."), given, where)


def _put(node: Any, steps: list[str], given: Any, where: str) -> Any:
    if not steps:
        return given
    step, rest = steps[0], steps[1:]
    if isinstance(node, list):
        if not step.isdecimal() or int(step) >= len(node):
            raise ConfigError(f"'{step}' is no item of a list of {len(node)}", where=where)
        return [_put(item, rest, given, where) if i == int(step) else item for i, item in enumerate(node)]
    if not isinstance(node, dict):
        raise ConfigError(f"'{step}' lies within {node!r}, which is no mapping", where=where)
    return node | {step: _put(node.get(step, {}), rest, given, where)}
