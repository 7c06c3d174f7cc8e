"""The registries of this room."""

from __future__ import annotations

from data.contract.registry import Registry
from defend.attacks.base import Attack
from defend.base import ClassifierSpec

CLASSIFIERS = Registry("classifier", ClassifierSpec, "defend.classifiers")
ATTACKS = Registry("attack", Attack, "defend.attacks")
