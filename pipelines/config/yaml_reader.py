"""YAML as people mean it: YAML 1.2 scalars, no duplicate keys, a line number for every value.

PyYAML follows YAML 1.1: it reads ``2e-4`` as text, ``on`` as true, ``1:30`` as 90 and lets a duplicate key
win silently. The loader here has the YAML 1.2 core schema instead (https://yaml.org/spec/1.2.2/#103).
ruamel.yaml does not have it: it reads ``1_000`` as 1000, ``2024-01-01`` as a date and ``.5e3`` as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from clearsight.data.contract.errors import ConfigError, DataError, first_line, near_miss
from clearsight.data.media.files import content

Place = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)
MAX_BYTES = 2**20
MAX_NODES = 50_000
MAX_DEPTH = 60
MAX_INT = 2**63
"""Bounds of a file: what is beyond them takes forever to read, or is a number that nothing can use."""
LONGEST_INT = 70
LONGEST_MESSAGE = 1000
TOO_LARGE = "nested too deeply or too large"
SCALARS = ("null", "bool", "int", "float", "str")
KINDS: dict[type[yaml.Node], tuple[str, ...]] = {yaml.MappingNode: ("map",), yaml.SequenceNode: ("seq",)}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, within the bounds: PyYAML recurses, and takes seconds for every megabyte."""
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES or self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=TOO_LARGE, problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("null", r"^(?:~|null|Null|NULL|)$", "~nN\0")
_Loader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile(r"^$")))
_resolve("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolve("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789")
_resolve("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")
_resolve("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+.")


@dataclass
class Document:
    """A parsed file.

    Attributes:
        path: the file, as it was named.
        value: plain Python data.
        lines: line (from 1) of every key and list item, by its path of keys and indices.
        text: the file's text, verbatim.
    """

    path: Path
    value: Any
    text: str
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a value, or of the nearest thing around it."""
        return f"{self.path}:{self.lines[self.known(place)]}"

    def known(self, place: Place) -> Place:
        """Return the part of a validation error's path that is in the file.

        pydantic puts the names of union members into its paths; they are skipped.
        """
        found: Place = ()
        for step in place:
            if (*found, step) in self.lines:
                found = (*found, step)
        return found

    def parse(self, model: type[M]) -> M:
        """Return the value as a model.

        Raises:
            ConfigError: with file, line, field, what is wrong and a suggestion; one line for each mistake.
        """
        if not isinstance(self.value, dict):
            raise ConfigError("the file must hold a mapping (task: ..., name: ...)", where=f"{self.path}:1")
        try:
            return model.model_validate(self.value)
        except ValidationError as error:
            raise ConfigError("\n".join(self._message(item) for item in error.errors())) from None

    def _message(self, error: Mapping[str, Any]) -> str:
        place = self.known(error["loc"])
        kind, context = error["type"], error.get("ctx", {})
        text = error["msg"].removeprefix("Value error, ")
        if kind == "unknown_field":
            place = self.known((*error["loc"], context["field"]))
        elif kind == "union_tag_invalid":
            tags = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
            text = f"unknown kind '{context['tag']}'; {near_miss(context['tag'], tags)}"
        elif kind == "union_tag_not_found":
            text = "needs a 'kind'"
        elif kind == "missing":
            text = f"'{error['loc'][-1]}' is missing"
        else:
            text += f", got {error['input']!r}" if isinstance(error["input"], (str, int, float)) else ""
        name = ".".join(map(str, place))
        message = f"{name + ': ' if name else ''}{text}"
        more = "..." if len(message) > LONGEST_MESSAGE else ""
        return f"{self.where(place)}: {message[:LONGEST_MESSAGE]}{more}"


def load(path: str | Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or repeats a key; with file and line.
    """
    path = Path(path)
    try:
        data = content(path) if path.stat().st_size <= MAX_BYTES else b""
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("cannot read the configuration: it is not UTF-8 text", where=str(path)) from None
    except (OSError, DataError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "what", "") or first_line(error)
        raise ConfigError(f"cannot read the configuration: {reason}", where=str(path)) from None
    if not data and path.stat().st_size:
        raise ConfigError(f"has more than {MAX_BYTES:,} bytes, which no configuration needs", where=str(path))
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Parse YAML text; ``path`` is only for messages."""
    try:
        node = yaml.compose(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(
            getattr(error, "problem", None) or first_line(error), where=f"{path}{line}"
        ) from None
    except (ValueError, OverflowError):
        # PyYAML's own escapes: "\\UFFFFFFFF" is no character.
        raise ConfigError("holds an escape that stands for no character", where=str(path)) from None
    document = Document(path, None, text, {(): 1})
    document.value = _Builder(document).build(node, (), 0) if node is not None else None
    return document


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def build(self, node: yaml.Node, place: Place, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.document.lines.setdefault(place, line)
        self.count += 1
        # Aliases can make a small file expand without end.
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigError(TOO_LARGE, where=f"{self.document.path}:{line}")
        kind = node.tag.rpartition(":")[2]
        if kind not in KINDS.get(type(node), SCALARS):
            raise ConfigError(f"tag '{node.tag}' is not supported", where=f"{self.document.path}:{line}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, i), depth + 1) for i, item in enumerate(node.value)]
        try:
            return _scalar(kind, node.value)
        except ValueError as error:
            raise ConfigError(str(error), where=f"{self.document.path}:{line}") from None

    def _mapping(self, node: yaml.MappingNode, place: Place, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            where = f"{self.document.path}:{line}"
            if not isinstance(key, str):
                raise ConfigError("a key must be plain text", where=where)
            if key in out:
                first = self.document.lines[(*place, key)]
                raise ConfigError(f"'{key}' is given twice (first in line {first})", where=where)
            self.document.lines[(*place, key)] = line
            out[key] = self.build(value_node, (*place, key), depth + 1)
        return out


def _scalar(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        # Python itself refuses to read thousands of digits.
        value = int(text, base) if len(text) <= LONGEST_INT else MAX_INT
        if not -MAX_INT < value < MAX_INT:
            raise ValueError(f"{text:.20}... is beyond the whole numbers that are read")
        return value
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if "\0" in text:
        raise ValueError("text with a zero byte in it")
    if not text.isascii() and text != text.encode(errors="replace").decode():
        raise ValueError("text with half a character in it")
    return text
