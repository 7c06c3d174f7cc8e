"""The registry of this room."""

from __future__ import annotations

from clearsight.data.contract.registry import Registry
from clearsight.restore.base import RestorerSpec

RESTORERS = Registry("restorer", RestorerSpec, "clearsight.restore.classical", "clearsight.restore.learned")
