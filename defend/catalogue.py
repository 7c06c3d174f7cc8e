"""The registries of this room."""

from __future__ import annotations

from clearsight.data.contract.registry import Registry
from clearsight.defend.attack_detector_base import AttackDetectorSpec
from clearsight.defend.attacks.base import Attack
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.calibrator_base import CalibratorSpec
from clearsight.defend.certify.base import Certificate
from clearsight.defend.detector_base import DetectorSpec
from clearsight.defend.poison_filters.base import PoisonFilter

CLASSIFIERS = Registry("classifier", ClassifierSpec, "clearsight.defend.classifiers")
DETECTORS = Registry("detector", DetectorSpec, "clearsight.defend.detectors")
ATTACK_DETECTORS = Registry("attack detector", AttackDetectorSpec, "clearsight.defend.detect")
CALIBRATORS = Registry("calibrator", CalibratorSpec, "clearsight.defend.calibrators")
ATTACKS = Registry("attack", Attack, "clearsight.defend.attacks")
CERTIFICATES = Registry("certificate", Certificate, "clearsight.defend.certify")
POISON_FILTERS = Registry("poison filter", PoisonFilter, "clearsight.defend.poison_filters")
