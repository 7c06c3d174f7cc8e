"""What every fusion in the registry claims of itself; a new file is tested by being there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.pipelines.config.registries import FUSIONS

KINDS = tuple(FUSIONS.kinds)
SHAPES = {Flow.IMAGES: (2, 3, 9, 7), Flow.LOGITS: (2, 5)}


def drawn(flow: Flow, number: int) -> Tensor:
    """Return the tensor number ``number`` of this flow."""
    return torch.rand(SHAPES[flow], generator=Rng(number).at("fusion").torch())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_flow_claim(kind: str, count: int) -> None:
    spec = FUSIONS[kind]()
    assert spec.variadic
    assert len(spec.takes) == 1, "the one entry stands for every input"
    out = spec.build()(*(drawn(spec.takes[0], number) for number in range(count)))
    assert out.shape == SHAPES[spec.gives]
    assert out.isfinite().all()
    if spec.gives is Flow.IMAGES:
        assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_counts_and_gets_a_gradient(kind: str) -> None:
    spec = FUSIONS[kind]()
    inputs = [drawn(spec.takes[0], number).requires_grad_() for number in range(3)]
    part = spec.build()
    outs = [part(*inputs)]
    if spec.gradient is Gradient.SURROGATE:
        outs.append(part.surrogate(*inputs))
        assert outs[1].shape == outs[0].shape
    else:
        assert spec.gradient is Gradient.EXACT
    for out in outs:
        weights = torch.rand(out.shape, generator=Rng(9).at("weights").torch())
        for gradient in torch.autograd.grad((out * weights).sum(), inputs):
            assert gradient.isfinite().all()
            assert gradient.abs().max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_train_or_to_tell(kind: str) -> None:
    spec = FUSIONS[kind]()
    assert not spec.trainable
    assert not list(spec.build().parameters())
    assert not spec.conditioning
    assert spec.purpose


@pytest.mark.parametrize("kind", KINDS)
def test_different_shapes_are_refused(kind: str) -> None:
    spec = FUSIONS[kind]()
    one = drawn(spec.takes[0], 0)
    with pytest.raises(ShapeError, match=f"{kind}.*differ in shape"):
        spec.build()(one, one[..., :-1])
