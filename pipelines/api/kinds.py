"""`list_kinds`: what can be written after ``kind:``."""

from __future__ import annotations

from typing import overload

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.pipelines.config.registries import GROUPS


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
