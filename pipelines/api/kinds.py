"""`list_kinds`: what can be written after ``kind:``; `register`: one kind more."""

from __future__ import annotations

from typing import TypeVar, overload

from clearsight.data.contract import registering
from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.spec import Spec
from clearsight.pipelines.config.registries import GROUPS

T = TypeVar("T", bound=Spec)


def register(entry: type[T]) -> type[T]:
    """Make a class of a script or notebook cell a kind of configs and functions in this process.

    It is a decorator: ``@clearsight.register`` above a class that derives from `Corruption`, `RestorerSpec`,
    `Attack`, `Measurement` or another base of CONTRIBUTING.md. A class of the same module and name is
    replaced, as where a cell is executed again. With several workers, a class of a notebook is refused, for
    no other process can import it; one of a module, or of a script that is guarded by
    ``if __name__ == "__main__":``, works.

    Raises:
        ConfigError: it is no class of a spec, has no kind, or another kind is called so.
    """
    return registering.register(entry)


@overload
def list_kinds(group: None = None) -> dict[str, dict[str, str]]: ...
@overload
def list_kinds(group: str) -> dict[str, str]: ...
def list_kinds(group: str | None = None) -> dict[str, str] | dict[str, dict[str, str]]:
    """Return kind -> purpose of one group, or group -> such a mapping; plug-in packages are included.

    Args:
        group: ``sources``, ``corruptions``, ``restorers``, ``classifiers``, ``calibrators``, ``senses``,
            ``fusions``, ``gates``, ``attacks``, ``certificates``, ``methods`` or ``metrics``; None: all.

    Raises:
        ConfigError: there is no such group.
    """
    if group is None:
        return {name: list_kinds(name) for name in GROUPS}
    if group not in GROUPS:
        raise ConfigError(f"no group '{group}'", hint=near_miss(group, GROUPS))
    return {kind: getattr(spec, "purpose", "") for kind, spec in GROUPS[group].kinds.items()}
