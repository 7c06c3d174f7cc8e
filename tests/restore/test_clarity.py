"""The network that sees the whole image and can abstain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.restore.learned.clarity import Clarity
from clearsight.restore.networks.clarity import Clarity as Network


def waves(count: int = 2, height: int = 24, width: int = 40) -> Tensor:
    return torch.rand(count, 3, height, width, generator=Rng(5).torch()) * 0.5 + 0.2


def stirred(network: Network) -> Network:
    """Move every weight a little: a fresh network hides what its parts do."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=Rng(9).at(name).torch()))
    return network


def fresh() -> Network:
    network = Clarity(width=8, deep=1, hidden=16).network()
    assert isinstance(network, Network)
    return network


def test_a_fresh_network_is_the_identity() -> None:
    x = waves()
    torch.testing.assert_close(fresh()(x), x, atol=1e-6, rtol=0)


def test_the_default_has_fewer_parameters_than_urie() -> None:
    assert 400_000 < sum(each.numel() for each in Clarity().network().parameters()) < 672_000


def test_with_no_amount_the_image_comes_back() -> None:
    network, x = stirred(fresh()), waves()
    assert not torch.equal(network(x), x)
    with torch.no_grad():
        network.tail.weight[-4:] = 0
        network.tail.bias[-4:] = -20.0
    torch.testing.assert_close(network(x), x, atol=1e-6, rtol=0)


def test_the_least_amount_is_made_even_where_the_amount_is_closed() -> None:
    x = waves()
    whole = stirred(fresh())
    least = Clarity(width=8, deep=1, hidden=16, least_amount=0.25).network()
    assert isinstance(least, Network)
    stirred(least)
    with torch.no_grad():
        for network, amount in ((whole, 20.0), (least, -20.0)):
            network.tail.weight[-4:] = 0
            network.tail.bias[-4:] = amount
    torch.testing.assert_close(least(x) - x, 0.25 * (whole(x) - x), atol=1e-6, rtol=0)


def test_tone_can_undo_a_change_of_contrast_and_colour() -> None:
    network, x = fresh(), waves(1)
    with torch.no_grad():
        network.tail.bias[-4:] = 20.0
        gain = 3.5 * torch.atanh(torch.log(torch.tensor(2.0)) / 3.5)
        network.tone.bias.copy_(torch.tensor([0.1, -0.05, 0.0, gain]))
    means = x.mean(dim=(2, 3), keepdim=True)
    wanted = means + torch.tensor([0.1, -0.05, 0.0]).view(1, 3, 1, 1) + 2.0 * (x - means)
    torch.testing.assert_close(network(x), wanted, atol=1e-5, rtol=0)


def test_a_far_pixel_is_seen_through_the_statistics() -> None:
    network, x = stirred(fresh()), waves(1, 64, 64)
    x.requires_grad_()
    network(x)[0, :, -1, -1].sum().backward()
    assert x.grad is not None
    assert float(x.grad[0, :, 0, 0].abs().sum()) > 0


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_even_image_stays_finite_and_so_does_its_gradient(value: float) -> None:
    network = stirred(fresh())
    x = torch.full((1, 3, 16, 16), value, requires_grad=True)
    out = network(x)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
