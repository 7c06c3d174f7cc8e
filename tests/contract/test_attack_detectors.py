"""What every detector of attacked images in the registry claims of itself; a new file is tested by being there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.field_docs import describe_fields
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow
from clearsight.defend.attack_detector import AttackDetector
from clearsight.defend.attack_detector_base import AttackDetectorSpec
from clearsight.defend.catalogue import ATTACK_DETECTORS
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.systems.graph import Node, wire

KINDS = tuple(ATTACK_DETECTORS.kinds)
every = pytest.mark.parametrize("kind", KINDS)
CLASSIFIER = {"kind": "small_convnet", "weights": "signs-standard-v1"}
FIELDS: dict[str, dict[str, Any]] = {"neighbourhood_consistency": {"classifier": CLASSIFIER}}


def made(kind: str) -> AttackDetector:
    built = ATTACK_DETECTORS.parse({"kind": kind, **FIELDS.get(kind, {})}).build()
    assert isinstance(built, AttackDetector)
    return built


def fed(part: AttackDetector) -> list[Tensor]:
    """Return two inputs of four images where the part takes any number, else one of each that it takes."""
    draw = Rng(5).at("fed").torch()
    flows = part.spec.takes * 2 if part.spec.variadic else part.spec.takes
    return [
        torch.rand(4, 3, 24, 24, generator=draw) if flow is Flow.IMAGES else torch.randn(4, 5, generator=draw)
        for flow in flows
    ]


@every
def test_a_kind_says_what_it_is_for(kind: str) -> None:
    spec = made(kind).spec
    assert spec.gives is Flow.SCORE
    assert spec.purpose
    assert "\n" not in spec.purpose
    describe_fields(AttackDetectorSpec)
    own = {name: field for name, field in type(spec).model_fields.items() if name not in ("kind", "weights")}
    assert all(field.description for field in own.values())


@every
def test_a_spec_is_read_back_as_it_was_written(kind: str) -> None:
    spec = ATTACK_DETECTORS.parse({"kind": kind, **FIELDS.get(kind, {})})
    again = ATTACK_DETECTORS.parse(spec.model_dump(mode="json", exclude_unset=True))
    assert again == spec
    assert again.fingerprint() == spec.fingerprint()


@every
def test_suspicion_is_one_number_an_image(kind: str, no_global_rng: None) -> None:
    part = made(kind)
    inputs = fed(part)
    whole = part(*inputs)
    assert whole.shape == (4,)
    assert whole.isfinite().all()
    assert torch.equal(whole, part(*inputs))


@every
def test_an_image_has_the_same_suspicion_in_every_batch(kind: str) -> None:
    part = made(kind)
    inputs = fed(part)
    whole = part(*inputs)
    alone = torch.cat([part(*(each[i : i + 1] for each in inputs)) for i in range(4)])
    assert torch.allclose(whole, alone, atol=1e-5)


@every
def test_an_attacker_gets_its_gradient(kind: str) -> None:
    part = made(kind)
    leaves = [each.requires_grad_() for each in fed(part)]
    gradients = torch.autograd.grad(part(*leaves).sum(), leaves)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


def test_squeezing_is_the_largest_distance_of_probabilities() -> None:
    plain, near, far = (torch.tensor([each]).log() for each in ([0.5, 0.5], [0.6, 0.4], [0.9, 0.1]))
    assert made("feature_squeezing")(plain, near, far).item() == pytest.approx(0.8)
    with pytest.raises(ShapeError, match="feature_squeezing.*got none; feed it the logits"):
        made("feature_squeezing")(plain)


def test_an_image_that_is_like_its_neighbours_is_not_suspicious() -> None:
    part = made("neighbourhood_consistency")
    flat = torch.full((1, 3, 24, 24), 0.5)
    noise = torch.rand(1, 3, 24, 24, generator=Rng(1).at("x").torch())
    quiet, loud = part(torch.cat([flat, noise])).tolist()
    assert quiet == pytest.approx(0.0, abs=1e-5)
    assert loud > quiet


def test_a_system_has_one_detector_beside_its_output() -> None:
    parts = {
        "classify": PARTS.parse(CLASSIFIER),
        "screen": PARTS.parse({"kind": "neighbourhood_consistency", "classifier": CLASSIFIER}),
    }
    out, screen = Node(use="classify"), Node(use="screen")
    graph = wire({"out": out, "watch": screen}, parts)
    assert (graph.screen, graph.steps[-1].name) == ("watch", "out")
    assert [step.name for step in graph.unscreened().steps] == ["out"]
    assert graph.fingerprint() != wire({"out": out}, parts).fingerprint()
    with pytest.raises(ConfigError, match="'watch' and 'too' both say how suspicious.*one detector"):
        wire({"out": out, "watch": screen, "too": screen}, parts)
    with pytest.raises(ConfigError, match="no output of its own; write the system as a graph"):
        wire(["screen"], parts)
