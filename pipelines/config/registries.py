"""All registries."""

from __future__ import annotations

from typing import Any

from clearsight.data.catalogue import CORRUPTIONS, POISONS, SOURCES
from clearsight.data.contract.estimator import Estimator
from clearsight.data.contract.method import Method
from clearsight.data.contract.registry import Registry
from clearsight.data.contract.spec import PartSpec
from clearsight.defend.catalogue import (
    ATTACK_DETECTORS,
    ATTACKS,
    CALIBRATORS,
    CERTIFICATES,
    CLASSIFIERS,
    DETECTORS,
    POISON_FILTERS,
)
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.systems.fusion.base import FusionSpec
from clearsight.pipelines.systems.gates.base import GateSpec
from clearsight.restore.catalogue import RESTORERS, SENSES

FUSIONS = Registry("fusion", FusionSpec, "clearsight.pipelines.systems.fusion")
GATES = Registry("gate", GateSpec, "clearsight.pipelines.systems.gates")
METRICS = Registry("metric", Metric, "clearsight.pipelines.metrics")
METHODS = Registry("training method", Method, "clearsight.defend.training", "clearsight.restore.training")
PARTS = Registry(
    "part",
    PartSpec,
    *RESTORERS.packages,
    *CLASSIFIERS.packages,
    *DETECTORS.packages,
    *ATTACK_DETECTORS.packages,
    *CALIBRATORS.packages,
    *FUSIONS.packages,
    *GATES.packages,
)
ESTIMATORS = Registry("estimator", Estimator, *PARTS.packages)
"""Parts of any type that ``clearsight fit`` fits."""

BUILDABLE = Registry("part", PartSpec, *PARTS.packages, *SENSES.packages)
"""All that has a torch module: the parts of systems, and the senses inside gates."""

GROUPS: dict[str, Registry[Any]] = {
    "sources": SOURCES,
    "corruptions": CORRUPTIONS,
    "poisons": POISONS,
    "restorers": RESTORERS,
    "classifiers": CLASSIFIERS,
    "detectors": DETECTORS,
    "attack_detectors": ATTACK_DETECTORS,
    "calibrators": CALIBRATORS,
    "senses": SENSES,
    "fusions": FUSIONS,
    "gates": GATES,
    "attacks": ATTACKS,
    "certificates": CERTIFICATES,
    "methods": METHODS,
    "poison_filters": POISON_FILTERS,
    "metrics": METRICS,
}
"""What ``clearsight list`` shows."""
