"""The registry of this room."""

from __future__ import annotations

from data.contract.registry import Registry
from restore.base import RestorerSpec

RESTORERS = Registry("restorer", RestorerSpec, "restore.classical", "restore.networks")
