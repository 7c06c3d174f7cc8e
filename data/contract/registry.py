"""Registries: a folder is scanned once, its specs become the choices of one YAML field.

Adding a kind is adding a file. A package of the user's joins through the entry-point group ``clearsight``:
each entry point names a module, whose specs are sorted into the registries by their base class.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args

from pydantic import Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.spec import Spec

S = TypeVar("S", bound=Spec)
ENTRY_POINTS = "clearsight"
REGISTERED: dict[str, type[Spec]] = {}
"""Classes that `clearsight.data.contract.registering` was given in this process, by module and name."""
_REGISTRIES: list[Registry[Any]] = []
"""All registries that were made."""


def registries() -> tuple[Registry[Any], ...]:
    """Return all registries that were made."""
    return tuple(_REGISTRIES)


class Registry(Generic[S]):
    """All kinds of one base class.

    Args:
        noun: what one entry is called in messages, such as ``corruption``.
        base: class that every entry derives from.
        packages: dotted names of the folders that are scanned.
        only: says of a class whether it belongs here; by default every one does.
        field: name of the field, a ``Literal``, by whose value YAML chooses.
    """

    def __init__(
        self,
        noun: str,
        base: type[S],
        *packages: str,
        only: Callable[[type[S]], bool] | None = None,
        field: str = "kind",
    ) -> None:
        """Remember where to look; nothing is imported before the first question."""
        self.noun, self.base, self.packages, self.only, self.field = noun, base, packages, only, field
        self._kinds: dict[str, type[S]] | None = None
        _REGISTRIES.append(self)

    @property
    def kinds(self) -> dict[str, type[S]]:
        """Return kind -> class, sorted by kind."""
        if self._kinds is None:
            classes: dict[str, type[S]] = {}
            for entry in self._entries():
                (kind,) = get_args(entry.model_fields[self.field].annotation)
                if kind in classes and classes[kind] is not entry:
                    raise ConfigError(
                        f"two {self.noun}s are called '{kind}'",
                        where=f"{classes[kind].__module__} and {entry.__module__}",
                        hint="rename one of them",
                    )
                classes[kind] = entry
            self._kinds = dict(sorted(classes.items()))
        return self._kinds

    def forget(self) -> None:
        """Scan again when the kinds are next asked for."""
        self._kinds = None

    def _entries(self) -> Iterator[type[S]]:
        for module in (*_modules(self.packages), *_plugins()):
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module.__name__ and self._takes(value):
                    yield value
        yield from filter(self._takes, REGISTERED.values())

    def _takes(self, value: type) -> bool:
        return (
            issubclass(value, self.base)
            and self.field in value.model_fields
            and (self.only is None or self.only(value))
        )

    def __getitem__(self, kind: str) -> type[S]:
        """Return the class of a kind, or raise `ConfigError` with a near-miss."""
        try:
            return self.kinds[kind]
        except KeyError:
            raise ConfigError(f"unknown {self.noun} '{kind}'", hint=near_miss(kind, self.kinds)) from None

    def __iter__(self) -> Iterator[type[S]]:
        """Iterate over the classes, sorted by kind."""
        return iter(self.kinds.values())

    def parse(self, node: Any) -> S:
        """Return the spec that a mapping with a ``kind`` describes, or the spec itself.

        Raises:
            ConfigError: not such a mapping, or an unknown kind.
            ValidationError: pydantic's, for fields that do not fit the kind.
        """
        if isinstance(node, self.base):
            return node
        if not isinstance(node, dict) or not isinstance(node.get(self.field), str):
            raise ConfigError(
                f"a {self.noun} is a mapping with a '{self.field}'", hint=near_miss("", self.kinds)
            )
        return self[node[self.field]].model_validate(node)

    def of_word(self, node: dict[str, Any], word: str, *, where: str) -> S:
        """Return the spec of a kind or of weights that one word named, as options of commands do.

        Args:
            node: ``kind``, and ``weights`` where the word named weights.
            word: as it was written.
            where: the option.

        Raises:
            ConfigError: the kind needs more than a word can give, or is unknown.
        """
        try:
            return self.parse(node)
        except ValidationError as error:
            first = error.errors()[0]
            place = "".join(f"'{step}': " for step in first["loc"] if step != node["kind"])
            reason = first["msg"].removeprefix("Value error, ")
            raise ConfigError(
                f"'{word}' is a {self.noun} of kind '{node['kind']}', of which a word says too little "
                f"({place}{reason})",
                where=where,
                hint="use it as a part in a config",
            ) from None

    def union(self) -> Any:
        """Return the pydantic discriminated union over all kinds."""
        return Annotated[Union[tuple(self.kinds.values())], Field(discriminator=self.field)]  # noqa: UP007


def _modules(packages: tuple[str, ...]) -> Iterator[ModuleType]:
    for package in packages:
        folder = importlib.import_module(package)
        for info in sorted(pkgutil.iter_modules(folder.__path__), key=lambda info: info.name):
            if not info.ispkg:
                yield importlib.import_module(f"{package}.{info.name}")


def has_plugins() -> bool:
    """Return whether any package brings kinds; none is imported."""
    return bool(entry_points(group=ENTRY_POINTS))


@cache
def _plugins() -> tuple[ModuleType, ...]:
    return tuple(
        importlib.import_module(point.value.split(":")[0])
        for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    )


@dataclass(frozen=True)
class Choice:
    """Annotation: the field takes any kind of this registry, discriminated by ``kind``.

    The registry is scanned when the schema is first needed, so importing a config class stays cheap.
    """

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the discriminated union."""
        return handler.generate_schema(self.registry.union())

    def __hash__(self) -> int:
        """Hash by identity of the registry."""
        return id(self.registry)
