"""All registries, and the pydantic annotation that turns one into the choices of a field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from clearsight.data.catalogue import CORRUPTIONS, SOURCES
from clearsight.data.contract.method import Method
from clearsight.data.contract.registry import Registry
from clearsight.data.contract.spec import PartSpec
from clearsight.defend.catalogue import ATTACKS, CLASSIFIERS
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.systems.fusion.base import FusionSpec
from clearsight.restore.catalogue import RESTORERS

FUSIONS = Registry("fusion", FusionSpec, "clearsight.pipelines.systems.fusion")
METRICS = Registry("metric", Metric, "clearsight.pipelines.metrics")
METHODS = Registry("training method", Method, "clearsight.defend.training", "clearsight.restore.training")
PARTS = Registry("part", PartSpec, *RESTORERS.packages, *CLASSIFIERS.packages, *FUSIONS.packages)

GROUPS: dict[str, Registry[Any]] = {
    "sources": SOURCES,
    "corruptions": CORRUPTIONS,
    "restorers": RESTORERS,
    "classifiers": CLASSIFIERS,
    "fusions": FUSIONS,
    "attacks": ATTACKS,
    "methods": METHODS,
    "metrics": METRICS,
}
"""What ``clearsight list`` shows."""


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
