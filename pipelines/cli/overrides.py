"""``--set model.depth=18``: one value of a config, given on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.config.places import put
from clearsight.pipelines.config.yaml_reader import Document, parse

OPTION = "--set"


def overridden(document: Document, changes: Iterable[str]) -> Document:
    """Return a copy of a document with some of its values replaced.

    Args:
        document: a parsed config.
        changes: ``place=value`` each: keys separated by dots (an item of a list by its index from 0), and a
            YAML value. A key that is not in the file is added.

    Raises:
        ConfigError: no ``=``, a value that is not YAML, an index beyond the list, or a place inside a scalar.
    """
    value = document.value
    for change in changes:
        place, sign, text = change.partition("=")
        if not sign or not place.strip():
            raise ConfigError(f"'{change}' is not of the form model.depth=18", where=OPTION)
        given = parse(text, Path(f"{OPTION} {place}")).value
        value = put(value, place, given, f"{OPTION} {change}")
    return replace(document, value=value)
