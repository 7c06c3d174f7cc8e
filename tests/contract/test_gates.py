"""What every gate in the registry claims of itself; a new file is tested by being there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sense_toy import sense_weights
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.pipelines.config.registries import GATES
from clearsight.pipelines.systems.gate import Gate

KINDS = tuple(GATES.kinds)
every = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def sense(tmp_path_factory: pytest.TempPathFactory) -> str:
    return sense_weights(tmp_path_factory.mktemp("sense"))


def built(kind: str, sense: str, **fields: Any) -> Gate[Any]:
    """Return a gate of this kind, asking the toy sense where it asks one."""
    if "sense" in GATES[kind].model_fields:
        fields["sense"] = {"kind": "degradation_sense", "weights": sense}
    gate: Gate[Any] = GATES.parse({"kind": kind} | fields).build()
    return gate


def versions(count: int, number: int = 6) -> list[Tensor]:
    """Return ``count`` versions of images, half of them noisy, half even."""
    noise = torch.rand((number, 3, 33, 34), generator=Rng(5).at("images").torch())
    spread = torch.linspace(0.0, 1.0, number)[:, None, None, None]
    first = 0.5 + spread * (noise - 0.5)
    return [first, *(first * (1.0 - 0.1 * k) + 0.05 * k for k in range(1, count))]


def count_of(kind: str) -> int:
    return GATES[kind].model_construct().branches() or 3


@every
def test_each_image_is_one_of_its_versions_unchanged(kind: str, sense: str) -> None:
    gate = built(kind, sense)
    inputs = versions(count_of(kind))
    out = gate(*inputs)
    scores = gate.scored(*inputs)
    assert scores.shape == (6, len(inputs))
    assert scores.isfinite().all()
    for row, chosen in enumerate(scores.argmax(dim=1).tolist()):
        assert torch.equal(out[row], inputs[chosen][row])


@every
def test_an_image_is_judged_by_itself(kind: str, sense: str) -> None:
    gate = built(kind, sense)
    inputs = versions(count_of(kind))
    alone = torch.cat([gate(*(x[row : row + 1] for x in inputs)) for row in range(6)])
    assert torch.equal(gate(*inputs), alone)


@every
def test_attacks_see_a_soft_choice_that_reaches_every_version(kind: str, sense: str) -> None:
    gate = built(kind, sense)
    assert gate.spec.gradient is Gradient.SURROGATE
    inputs = [x.requires_grad_() for x in versions(count_of(kind))]
    out = gate.surrogate(*inputs)
    assert 0.0 <= float(out.detach().min()) <= float(out.detach().max()) <= 1.0
    gradients = torch.autograd.grad(out.square().sum(), inputs)
    assert all(each.isfinite().all() and each.abs().max() > 0 for each in gradients)
    # The decision itself can be pushed: its gradient reaches the image that is looked at.
    (pushed,) = torch.autograd.grad(gate.scored(*inputs)[:, -1].sum(), inputs[:1])
    assert pushed.isfinite().all()
    assert pushed.abs().max() > 0


@every
def test_a_cold_surrogate_is_the_gate(kind: str, sense: str) -> None:
    inputs = versions(count_of(kind))
    gate = built(kind, sense, temperature=1e-4)
    scores = gate.scored(*inputs).sort(dim=1).values
    clear = scores[:, -1] - scores[:, -2] > 0.01
    assert clear.any()
    assert torch.allclose(gate.surrogate(*inputs)[clear], gate(*inputs)[clear], atol=1e-5)


@every
def test_facts_are_told(kind: str, sense: str) -> None:
    entry = GATES[kind]
    assert entry.variadic
    assert entry.takes == (Flow.IMAGES,)
    assert entry.gives is Flow.IMAGES
    assert entry.purpose
    assert not [name for name, each in built(kind, sense).named_parameters() if each.requires_grad]


@every
def test_wrong_inputs_are_refused(kind: str, sense: str) -> None:
    gate = built(kind, sense)
    inputs = versions(count_of(kind))
    with pytest.raises(ConfigError, match=f"{kind}: chooses among"):
        gate(inputs[0])
    with pytest.raises(ShapeError, match=f"{kind}.*differ in shape"):
        gate(*inputs[:-1], inputs[-1][..., :-1])


def test_a_gate_names_its_sense_by_content(sense: str, tmp_path: Path) -> None:
    kinds = [kind for kind in KINDS if "sense" in GATES[kind].model_fields]
    assert kinds
    for kind in kinds:
        node = {"kind": kind, "sense": {"kind": "degradation_sense", "weights": sense}}
        spec = GATES.parse(node)
        other = {"kind": "degradation_sense", "weights": sense_weights(tmp_path, steep=3.0)}
        found = {spec.fingerprint()}
        found |= {GATES.parse(node | each).fingerprint() for each in ({"temperature": 2.0}, {"sense": other})}
        assert len(found) == 3
        assert spec.weights_inside() == (sense,)
        with pytest.raises(ValueError, match="below 'sense'"):
            GATES.parse(node | {"weights": sense})
