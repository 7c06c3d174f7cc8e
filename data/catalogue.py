"""The registries of this room."""

from __future__ import annotations

from clearsight.data.contract.registry import Registry
from clearsight.data.corruptions.base import Corruption
from clearsight.data.sources.base import Source

CORRUPTIONS = Registry("corruption", Corruption, "clearsight.data.corruptions")
SOURCES = Registry("source", Source, "clearsight.data.sources")
