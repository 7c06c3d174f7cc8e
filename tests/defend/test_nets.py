"""Networks: sizes, fresh weights, and the strided 1x1 convolutions in which torch crashes are kept from it."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh, initialise
from clearsight.defend.classifiers.preact_resnet import PreActResNet
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.defend.classifiers.wide_resnet import WideResNet
from clearsight.defend.networks.blocks import PreActBlock, Shortcut
from clearsight.defend.networks.preact_resnet import PreActResNet as PreActResNetNet
from clearsight.defend.networks.small_convnet import SmallConvNet as SmallConvNetNet
from clearsight.defend.networks.wide_resnet import WideResNet as WideResNetNet
from clearsight.pipelines.systems.device import layout


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def on_meta(kind: type[nn.Module], **fields: int) -> nn.Module:
    with torch.device("meta"):
        return kind(classes=10, **fields)


def test_sizes_are_those_of_the_papers() -> None:
    # WRN-28-10: 36.5 M, WRN-16-8: 11.0 M, WRN-40-4: 8.9 M (Zagoruyko & Komodakis 2016, table 4).
    assert parameters(on_meta(WideResNetNet, depth=28, widen=10)) == pytest.approx(36.5e6, rel=0.002)
    assert parameters(on_meta(WideResNetNet, depth=16, widen=8)) == pytest.approx(11.0e6, rel=0.005)
    assert parameters(on_meta(WideResNetNet, depth=40, widen=4)) == pytest.approx(8.9e6, rel=0.01)
    assert parameters(on_meta(PreActResNetNet, depth=18, width=64)) == pytest.approx(11.17e6, rel=0.002)
    assert parameters(on_meta(SmallConvNetNet, width=32)) == pytest.approx(0.7e6, rel=0.02)


def weighted_layers(module: nn.Module) -> int:
    """Count convolutions off the shortcuts, and linear layers: what the names of the networks count."""
    return sum(
        isinstance(layer, (nn.Conv2d, nn.Linear)) and "shortcut" not in name
        for name, layer in module.named_modules()
    )


@pytest.mark.parametrize("depth", [10, 18, 34])
def test_preact_depth_counts_layers(depth: int) -> None:
    assert weighted_layers(on_meta(PreActResNetNet, depth=depth, width=4)) == depth


@pytest.mark.parametrize("depth", [10, 16, 28, 40])
def test_wide_depth_counts_convolutions(depth: int) -> None:
    # The paper's 6 n + 4 are all convolutions, with the three shortcuts that widen and without the last layer.
    layers = on_meta(WideResNetNet, depth=depth, widen=2).modules()
    assert sum(isinstance(each, nn.Conv2d) for each in layers) == depth


def test_block_with_zero_convolution_is_the_identity() -> None:
    block = fresh(lambda: PreActBlock(6, 6)).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 6, 5, 7, generator=Rng(0).torch())
    assert block.shortcut is None
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (97, 33), (8, 8)])
@pytest.mark.parametrize(
    "spec",
    [
        SmallConvNet(classes=5, width=4),
        SmallConvNet(classes=5, width=4, stride=1, blocks=1),
        PreActResNet(classes=5, depth=10, width=4),
        PreActResNet(classes=5, depth=18, width=4, stride=2),
        WideResNet(classes=5, depth=10, widen=1),
    ],
    ids=lambda spec: f"{spec.name}-{spec.stride}",
)
def test_any_size_gives_finite_logits(
    spec: SmallConvNet | PreActResNet | WideResNet, size: tuple[int, int]
) -> None:
    model = spec.build()
    out = model(torch.rand(2, 3, *size, generator=Rng(0).torch()))
    assert out.shape == (2, 5)
    assert out.isfinite().all()
    assert not torch.equal(out[0], out[1])


def test_fresh_weights_are_always_the_same_and_need_no_global_generator(no_global_rng: None) -> None:
    first, second = (PreActResNet(classes=5, depth=10, width=4).build() for _ in range(2))
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_initialisation_has_the_stated_variances() -> None:
    net = fresh(lambda: SmallConvNetNet(10, 32), Rng(3))
    layer = net.get_submodule("stages.2.1.conv2")
    assert isinstance(layer, nn.Conv2d)
    assert float(layer.weight.detach().std()) == pytest.approx(sqrt(2 / (128 * 9)), rel=0.02)
    assert float(layer.weight.detach().mean()) == pytest.approx(0, abs=1e-3)
    assert float(net.head.weight.detach().abs().max()) <= 1 / sqrt(128)
    assert torch.equal(net.norm.weight, torch.ones(128))
    assert torch.equal(net.norm.running_var, torch.ones(128))
    assert int(net.norm.num_batches_tracked) == 0


def test_initialisation_depends_on_the_stream_and_the_name_alone() -> None:
    net = fresh(lambda: SmallConvNetNet(10, 4), Rng(3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    initialise(net, Rng(4))
    assert not torch.equal(before["stem.weight"], net.stem.weight)
    initialise(net, Rng(3))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    deeper = fresh(lambda: SmallConvNetNet(10, 4, blocks=3), Rng(3))
    assert torch.equal(deeper.stem.weight, net.stem.weight)


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="LayerNorm"):
        fresh(lambda: nn.Sequential(nn.LayerNorm(3)))


def test_depth_of_a_wide_network_is_checked() -> None:
    with pytest.raises(ValidationError, match="write 28 or 34"):
        WideResNet(depth=30)


def test_classes_must_be_known() -> None:
    for spec in (SmallConvNet(), PreActResNet(), WideResNet()):
        with pytest.raises(ConfigError, match="classes"):
            spec.build()


@pytest.mark.parametrize("channels", [(1, 4), (3, 8), (7, 16), (8, 16), (9, 12), (16, 32), (24, 48)])
@pytest.mark.parametrize("stride", [2, 3, (2, 1)])
@pytest.mark.parametrize("size", [(2, 8, 8), (16, 33, 31), (4, 64, 64)])
def test_a_strided_shortcut_has_the_gradient_of_a_convolution(
    channels: tuple[int, int], stride: int | tuple[int, int], size: tuple[int, int, int]
) -> None:
    """With channels last, where torch itself corrupts the heap (`Conv2d(8, 16, 1, 2)` of 16 x 64 x 64)."""
    generator = Rng(0).at("shortcut", *channels, *size).torch()
    count, height, width = size
    # In float64, where sums over thousands of pixels do not depend on their order.
    plain = nn.Conv2d(*channels, 1, stride, bias=False).double()
    with torch.no_grad():
        plain.weight.copy_(torch.randn(plain.weight.shape, generator=generator, dtype=torch.float64))
    ours = Shortcut(*channels, 1, stride, bias=False).double().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(count, channels[0], height, width, generator=generator, dtype=torch.float64)
    found = []
    for layer, order in ((plain, torch.contiguous_format), (ours, torch.channels_last)):
        leaf = x.clone().to(memory_format=order).requires_grad_()
        out = layer(leaf)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
        found.append([out, *torch.autograd.grad((out * weights).sum(), [leaf, layer.weight])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-9, atol=1e-9)


STRIDED = """
from torch import nn


def net():
    strided = nn.Conv2d(4, 8, 1, 2)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), strided, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
"""


def test_a_network_of_others_never_sees_channels_last_where_a_gradient_is_asked_for(tmp_path: Path) -> None:
    """As behind a restorer in training or under attack: its strided 1x1 convolution could crash the process."""
    (tmp_path / "mine.py").write_text(STRIDED)
    classifier = PythonClassifier(call=f"{tmp_path}/mine.py:net", classes=5).build()
    seen = []
    strided = next(m for m in classifier.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2))
    strided.register_forward_pre_hook(lambda _, given: seen.append(given[0].is_contiguous()))
    x = torch.rand(16, 3, 64, 64, generator=Rng(0).at("strided").torch())
    found = []
    for order in (torch.contiguous_format, torch.channels_last):
        leaf = x.clone().to(memory_format=order).requires_grad_()
        out = classifier(leaf)
        assert seen == [True] * len(seen)
        found.append(torch.autograd.grad(out.square().sum(), leaf)[0])
    assert len(seen) == 2
    torch.testing.assert_close(*found)


def test_networks_of_others_are_trained_with_plain_layout_where_torch_may_crash() -> None:
    for channels in (8, 64):
        assert layout(nn.Conv2d(channels, channels, 1, 2), "cpu") is torch.contiguous_format
        assert layout(nn.Conv2d(channels, channels, 1, 2), "cuda") is torch.channels_last
        assert layout(nn.Conv2d(channels, channels, 3, 2), "cpu") is torch.channels_last
    assert layout(PreActResNetNet(10, 10, 8), "cpu") is torch.channels_last
