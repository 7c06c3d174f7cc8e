"""The registries of this room."""

from __future__ import annotations

from data.contract.registry import Registry
from data.corruptions.base import Corruption
from data.sources.base import Source

CORRUPTIONS = Registry("corruption", Corruption, "data.corruptions")
SOURCES = Registry("source", Source, "data.sources")
