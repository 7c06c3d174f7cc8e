"""All registries."""

from __future__ import annotations

from typing import Any

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
