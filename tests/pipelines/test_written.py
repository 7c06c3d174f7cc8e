"""Specs as a person would write them: what was said of them, and no more."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow
from clearsight.data.contract.written import written
from clearsight.data.weights import SENSE, kind_of_weights
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.systems.gates.damage_gate import DamageGate
from clearsight.pipelines.systems.graph import gated_chain
from clearsight.restore.classical.gamma import Gamma
from clearsight.restore.classical.median import Median
from clearsight.restore.senses.degradation import DegradationSense


def test_fields_that_were_set_are_written_and_others_are_not() -> None:
    assert written(Median()) == {"kind": "median"}
    assert written(Median(size=5)) == {"kind": "median", "size": 5}
    assert written({"a": (Median(), PurePosixPath("x/y"))}) == {"a": [{"kind": "median"}, "x/y"]}


def test_what_the_card_of_weights_says_is_left_out() -> None:
    sense = DegradationSense(weights=SENSE).resolved()
    assert sense.model_fields_set > {"width", "weights"}
    gate = DamageGate(damage=("noise",), sense=sense)
    assert written(gate) == {
        "kind": "damage_gate",
        "damage": ["noise"],
        "sense": {"kind": "degradation_sense", "weights": SENSE},
    }


def test_what_was_said_beside_weights_stays() -> None:
    node = {
        "kind": "small_convnet",
        "weights": "signs-augmix-v1",
        "class_names": [f"sign {i}" for i in range(8)],
    }
    spec = PARTS.parse(node)
    assert written(spec.resolved()) == node


def test_a_written_part_is_the_part() -> None:
    for spec in (Gamma(gamma=1.5), DamageGate(damage=("blur",), threshold=0.25)):
        assert PARTS.parse(written(spec)).key() == spec.key()


def test_wiring_of_a_gate_of_images_of_one_of_logits_and_of_none() -> None:
    assert gated_chain(["a", "b"], "c", None) == {
        "a": {"use": "a", "of": "image"},
        "b": {"use": "b", "of": "a"},
        "out": {"use": "c", "of": "b"},
    }
    assert gated_chain(["a"], "c", "g") == {
        "a": {"use": "a", "of": "image"},
        "g": {"use": "g", "of": ["image", "a"]},
        "out": {"use": "c", "of": "g"},
    }
    assert gated_chain(["a"], "c", "g", gives=Flow.LOGITS) == {
        "a": {"use": "a", "of": "image"},
        "untouched": {"use": "c", "of": "image"},
        "restored": {"use": "c", "of": "a"},
        "out": {"use": "g", "of": ["untouched", "restored"]},
    }


def test_weights_of_another_kind_are_refused() -> None:
    told = {"refused": "which classifies nothing", "where": "--classifier"}
    assert kind_of_weights("signs-augmix-v1", CLASSIFIERS.kinds, **told) == "small_convnet"
    with pytest.raises(ConfigError, match="weights of 'degradation_sense', which classifies nothing"):
        kind_of_weights(SENSE, CLASSIFIERS.kinds, **told)
