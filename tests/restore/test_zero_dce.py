"""Zero-DCE: the network, its curves, and the four losses without a reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh
from clearsight.restore.learned.enlighten import Enlighten
from clearsight.restore.learned.zero_dce import ZeroDCE
from clearsight.restore.networks.zero_dce import ZeroDCENet, applied
from clearsight.restore.training.zero_dce import (
    ZeroReference,
    colour_constancy,
    exposure_control,
    illumination_smoothness,
    spatial_consistency,
)


def images(*shape: int, name: str = "images") -> Tensor:
    return torch.rand(shape, generator=Rng(0).at(name).torch())


def stirred(net: ZeroDCENet) -> ZeroDCENet:
    with torch.no_grad():
        net.last.weight.copy_(0.2 * (images(*net.last.weight.shape) - 0.4))
    return net


def batch(side: int = 32) -> TrainBatch:
    return TrainBatch(0.2 * images(2, 3, side, side), None, ("a", "b"))


# -- the network


def test_parameters_and_start_at_the_identity() -> None:
    net = ZeroDCE().build().network
    assert net is not None
    assert sum(each.numel() for each in net.parameters()) == 79_416
    x = images(2, 3, 9, 14)
    assert torch.equal(net(x), x)


def test_layers_see_their_mirror() -> None:
    net = stirred(fresh(lambda: ZeroDCENet(4)))
    x = images(1, 3, 12, 12)
    x1 = torch.relu(net.hidden[0](x))
    x2 = torch.relu(net.hidden[1](x1))
    x3 = torch.relu(net.hidden[2](x2))
    x4 = torch.relu(net.hidden[3](x3))
    x5 = torch.relu(net.hidden[4](torch.cat((x3, x4), 1)))
    x6 = torch.relu(net.hidden[5](torch.cat((x2, x5), 1)))
    torch.testing.assert_close(net.curves(x), torch.tanh(net.last(torch.cat((x1, x6), 1))))


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 1), curve=st.floats(-1, 1), times=st.integers(1, 8))
def test_curves_keep_the_range_and_the_order(value: float, curve: float, times: int) -> None:
    x = torch.tensor([value, min(1.0, value + 0.1)], dtype=torch.float64).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    y = applied(x, torch.full((1, 3 * times, 1, 2), curve, dtype=torch.float64))
    assert y.min() >= 0
    assert y.max() <= 1
    assert (y[..., 1] >= y[..., 0]).all()
    assert (y >= x - 1e-12).all() if curve >= 0 else (y <= x + 1e-12).all()


def test_one_curve_is_the_published_one() -> None:
    x, curve = images(1, 3, 2, 2), images(1, 3, 2, 2, name="curve")
    torch.testing.assert_close(applied(x, curve), x + curve * x * (1 - x))


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (33, 17)])
def test_any_size(size: tuple[int, int]) -> None:
    model = ZeroDCE().build()
    assert isinstance(model.network, ZeroDCENet)
    stirred(model.network)
    y = model(images(2, 3, *size))
    assert y.shape == (2, 3, *size)
    assert y.min() >= 0
    assert y.max() <= 1


def test_receptive_field_is_exact() -> None:
    net = fresh(lambda: ZeroDCENet(2)).double()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.fill_(0.05)
    x = images(1, 3, 31, 31).double().requires_grad_()
    (gradient,) = torch.autograd.grad(net(x)[0, :, 15, 15].sum(), x)
    touched = gradient.abs().sum((0, 1)).nonzero()
    side = touched.max(0).values - touched.min(0).values + 1
    assert side.tolist() == [ZeroDCE().facts.receptive_field] * 2


# -- the losses


def test_spatial_consistency() -> None:
    # 2x2 regions of 4x4 pixels with means a b / c d.
    old = torch.tensor([[0.1, 0.4], [0.2, 0.2]])
    new = torch.tensor([[0.5, 0.4], [0.9, 0.3]])
    before, after = (
        x.repeat_interleave(4, 0).repeat_interleave(4, 1).expand(1, 3, 8, 8).clone() for x in (old, new)
    )
    total = 0.0
    for i, j, k, m in ((0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 1, 1), (1, 0, 1, 1)):
        change = abs(float(new[i, j] - new[k, m])) - abs(float(old[i, j] - old[k, m]))
        total += 2 * change**2
    assert spatial_consistency(before, after).item() == pytest.approx(total / 4, rel=1e-5)
    assert spatial_consistency(before, before + 0.3).item() == pytest.approx(0.0, abs=1e-12)


def test_exposure_control() -> None:
    x = torch.cat((torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.9)), dim=3)
    assert exposure_control(x, 0.6, 16).item() == pytest.approx((0.4 + 0.3) / 2, rel=1e-5)


def test_colour_constancy() -> None:
    x = torch.tensor([0.2, 0.5, 0.6]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert colour_constancy(x).item() == pytest.approx(0.3**2 + 0.1**2 + 0.4**2)
    assert colour_constancy(images(2, 1, 4, 4).expand(2, 3, 4, 4)).item() == pytest.approx(0, abs=1e-12)


def test_illumination_smoothness() -> None:
    down, across = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    curves = (0.1 * down + 0.02 * across).expand(2, 24, 5, 6)
    assert illumination_smoothness(curves).item() == pytest.approx(3 * (0.1 + 0.02) ** 2, rel=1e-4)
    assert illumination_smoothness(torch.ones(1, 24, 5, 5)).item() == 0


# -- the method


def test_loss_is_the_weighted_sum() -> None:
    model, given = ZeroDCE().build(), batch()
    assert isinstance(model.network, ZeroDCENet)
    curves = stirred(model.network).curves(given.images)
    result = applied(given.images, curves)
    expected = (
        spatial_consistency(given.images, result)
        + exposure_control(result, 0.6, 16)
        + 0.5 * colour_constancy(result)
        + 20 * illumination_smoothness(curves)
    )
    ((name, loss),) = ZeroReference().step({"model": model}, given, Rng(0))
    assert name == "model"
    torch.testing.assert_close(loss, expected)


@pytest.mark.usefixtures("no_global_rng")
def test_some_steps_brighten() -> None:
    model, method, given = ZeroDCE().build().train(), ZeroReference(), batch()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        ((_, loss),) = method.step({"model": model}, given, Rng(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        assert model(given.images).mean() > 1.5 * given.images.mean()


def test_refuses_what_cannot_work() -> None:
    with pytest.raises(ConfigError, match="kind: zero_dce"):
        next(ZeroReference().step({"model": Enlighten(width=16).build()}, batch(), Rng(0)))
    with pytest.raises(ConfigError, match="hold no region of 16"):
        next(ZeroReference().step({"model": ZeroDCE().build()}, batch(12), Rng(0)))
