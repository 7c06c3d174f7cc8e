from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from clearsight.data.contract.rng import Rng
from clearsight.data.initial import fresh, initialise
from clearsight.restore.learned.dncnn import DnCNN
from clearsight.restore.learned.ffdnet import FFDNet
from clearsight.restore.learned.nafnet import NAFNet
from clearsight.restore.learned.span import Span
from clearsight.restore.learned.srcnn import SRCNN
from clearsight.restore.learned.unet_denoiser import UNetDenoiser
from clearsight.restore.learned.vdsr import VDSR
from clearsight.restore.networks.cubic import Cubic, reach
from clearsight.restore.networks.dncnn import DnCNN as DnCNNNet
from clearsight.restore.networks.dncnn import folded, from_published
from clearsight.restore.networks.span import FusedConv
from clearsight.restore.networks.span import Span as SpanNet
from clearsight.restore.ops.resize import resize_bicubic

M = TypeVar("M", bound=nn.Module)


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=Rng(4).at("nets", *shape).torch())


def shake(module: M, spread: float = 0.1) -> M:
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            tensor.add_(spread * torch.randn(tensor.shape, generator=Rng(5).at(name).torch()))
    return module


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("identity", [False, True])
def test_fused_kernel_equals_the_branches(identity):
    conv = shake(fresh(lambda: FusedConv(6, 6, identity=identity))).double()
    x = images(2, 6, 9, 8).double() - 0.5
    apart = conv.wide(x) + conv.point(x) + conv.after(conv.within(conv.before(x)))
    apart = apart + x if identity else apart
    for mode in (True, False):
        assert (conv.train(mode)(x) - apart).abs().max() < 1e-12


def test_fused_kernel_of_the_export_is_never_out_of_date():
    conv = shake(fresh(lambda: FusedConv(4, 4, identity=True))).eval()
    before = conv.fused.clone()
    other = shake(fresh(lambda: FusedConv(4, 4, identity=True)), spread=0.3)
    conv.load_state_dict(other.state_dict())
    assert not torch.allclose(conv.fused, before)
    assert torch.equal(conv.fused, other.kernel())
    assert conv.train().fused is None
    assert "fused" not in conv.state_dict()


@pytest.mark.slow
def test_span_exports_single_convolutions():
    onnxruntime = pytest.importorskip("onnxruntime")
    part = Span(scale=2, width=8, blocks=2).build()
    part.network.load_state_dict(shake(fresh(lambda: SpanNet(2, 8, 2))).state_dict())
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        part,
        (images(2, 3, 12, 14),),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    model = program.model_proto
    # First, two blocks of three, last, merge, up, and cubic convolution.
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 11
    assert not {"MatMul", "Gemm", "Pow"} & {node.op_type for node in model.graph.node}
    weights = sum(torch.Size(tensor.dims).numel() for tensor in model.graph.initializer)
    kernels = 3 * 8 * 9 + 7 * 8 * 8 * 9 + 24 * 8 + 8 * 12 * 9 + 12 * 25
    assert kernels < weights < kernels + 200
    x = images(1, 3, 9, 7)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": x.numpy()})
    with torch.no_grad():
        assert (torch.from_numpy(found) - part(x)).abs().max() < 1e-4


def test_span_learns_in_all_branches():
    network = shake(fresh(lambda: SpanNet(3, 6, 1))).train()
    network(images(1, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


@settings(deadline=None, max_examples=12)
@given(st.sampled_from([2, 3, 4]), st.integers(5, 11), st.integers(5, 11))
def test_cubic_equals_the_resizing_away_from_the_border(scale, height, width):
    x = images(1, 3, height, width)
    difference = fresh(lambda: Cubic(scale))(x) - resize_bicubic(x, scale)
    inside = slice(2 * scale, -2 * scale)
    assert difference[:, :, inside, inside].abs().max() < 1e-5
    assert difference.shape[2:] == (height * scale, width * scale)


@pytest.mark.parametrize(("scale", "pixels"), [(2, 6), (3, 6), (4, 20), (2, 1)])
def test_reach_covers_every_phase(scale, pixels):
    far = 0
    for phase in range(scale):
        for moved in (phase - pixels, phase + pixels):
            pixel, rest = divmod(moved, scale)
            centre = (rest + 0.5) / scale - 0.5
            taps = [pixel + k for k in range(-2, 3) if abs(k - centre) < 2]
            far = max(far, *(abs(tap) for tap in taps))
    assert far <= reach(scale, pixels) <= far + 1


def published_dncnn(channels: int, depth: int, width: int) -> nn.Sequential:
    sizes = (channels, *(width,) * (depth - 1), channels)
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    initialise(model, Rng(8))
    return shake(model)


def test_dncnn_takes_published_weights():
    theirs = published_dncnn(1, 17, 64)
    spec = DnCNN(channels=1)
    network = spec.network()
    state = {f"model.{name}": tensor for name, tensor in theirs.state_dict().items()}
    assert "model.32.bias" in state
    network.load_state_dict(from_published(state), strict=True)
    x = images(1, 1, 8, 9)
    with torch.no_grad():
        assert (network(x) - (x - theirs(x))).abs().max() < 1e-4
    assert parameters(network) == 555_137


@pytest.mark.parametrize("name", ["model.1.weight", "body.0.weight", "model.0.running_mean", "model.x.bias"])
def test_dncnn_refuses_foreign_names(name):
    with pytest.raises(KeyError, match="not a tensor of a published DnCNN"):
        from_published({name: torch.zeros(1)})


def test_dncnn_folds_its_normalisation():
    network: Any = shake(DnCNN(channels=3, depth=5, width=8, norm=True).network())
    with torch.no_grad():
        for index, norm in enumerate(network.norms):
            norm.running_mean.copy_(images(8) - 0.5 + index)
            norm.running_var.copy_(images(8) + 0.3)
    plain = fresh(lambda: DnCNNNet(3, 5, 8, norm=False))
    plain.load_state_dict(folded(network.state_dict()), strict=True)
    x = images(2, 3, 7, 9)
    with torch.no_grad():
        assert (plain(x) - network.eval()(x)).abs().max() < 1e-5
    assert folded(plain.state_dict()).keys() == plain.state_dict().keys()


def test_ffdnet_is_told_the_noise_of_every_image():
    part = FFDNet(depth=3, width=8, sigma="25/255").build()
    shake(part.network)
    x = images(1, 3, 9, 7).expand(2, 3, 9, 7)
    sigma = torch.tensor([0.1, 0.4]).view(2, 1, 1, 1)
    with torch.no_grad():
        told = part.restored(x, sigma)
        assert (told[0] - told[1]).abs().max() > 1e-3
        same = part.restored(x, torch.full((2, 1, 1, 1), 25 / 255))
        assert torch.equal(same, part.restored(x))
    assert part.spec.conditioned_on("noise_level")


def test_a_blind_denoiser_is_not_told_the_noise():
    part = UNetDenoiser(width=4, blind=True).build()
    shake(part.network)
    x = images(1, 3, 16, 8)
    with torch.no_grad():
        assert torch.equal(part.restored(x), part.restored(x, torch.full((1, 1, 1, 1), 0.3)))
    assert not part.spec.conditioned_on("noise_level")
    assert part.spec.prepared(x) is part.spec


def test_ffdnet_refuses_levels_on_the_wrong_scale():
    with pytest.raises(ValidationError, match="sigma"):
        FFDNet(sigma=25)


def test_nafnet_wants_as_many_levels_up_as_down():
    with pytest.raises(ValidationError, match="encoder has 2 levels, decoder 1"):
        NAFNet(encoder=(1, 1), decoder=(1,))


def test_nafnet_looks_at_the_whole_image():
    part = NAFNet(width=4, encoder=(1,), decoder=(1,)).build()
    assert part.facts.receptive_field is None
    shake(part.network)
    x = images(1, 3, 48, 48)
    changed = x.clone()
    changed[:, :, :4, :4] = 1 - changed[:, :, :4, :4]
    with torch.no_grad():
        assert (part.restored(x) - part.restored(changed))[:, :, 40:, 40:].abs().max() > 1e-7


@pytest.mark.parametrize(
    ("spec", "millions"),
    [
        pytest.param(NAFNet(width=32, encoder=(1, 1, 1, 28), decoder=(1,) * 4), 17.11, id="nafnet-gopro"),
        pytest.param(FFDNet(depth=12, width=96), 0.852, id="ffdnet-colour"),
        pytest.param(DnCNN(depth=20, norm=False), 0.668, id="dncnn-colour-blind"),
        pytest.param(SRCNN(), 0.0201, id="srcnn-colour"),
        pytest.param(VDSR(), 0.668, id="vdsr-colour"),
    ],
)
def test_sizes_are_the_published_ones(spec, millions):
    assert parameters(spec.network()) / 1e6 == pytest.approx(millions, rel=0.01)
