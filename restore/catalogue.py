"""The registries of this room."""

from __future__ import annotations

from clearsight.data.contract.registry import Registry
from clearsight.restore.base import RestorerSpec
from clearsight.restore.sense_base import SenseSpec

RESTORERS = Registry("restorer", RestorerSpec, "clearsight.restore.classical", "clearsight.restore.learned")
SENSES = Registry("sense", SenseSpec, "clearsight.restore.senses")
