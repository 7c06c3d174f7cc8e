from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.degradations.exposure import short_exposure
from clearsight.restore.networks.unet_denoiser import UNetDenoiser
from clearsight.restore.ops.linear_light import TARGET, exposure_gain, from_linear, raised_noise, to_linear
from clearsight.restore.ops.tone import luma
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.tiling.tiling import restore_tiled
from clearsight.restore.training.short_exposure import ShortExposure

SMALL = {
    "auto_exposure": {"kind": "auto_exposure"},
    "amplified_unet": {"kind": "amplified_unet", "width": 4},
}
each_kind = pytest.mark.parametrize("kind", sorted(SMALL))


def part(kind):
    """The restorer; a network gets weights that change something."""
    built = RESTORERS.parse(SMALL[kind]).build()
    for name, tensor in [] if built.network is None else built.network.named_parameters():
        tensor.requires_grad_(False)
        tensor.add_(0.05 * torch.randn(tensor.shape, generator=Rng(2).at(name).torch()))
    return built


def lit(n=2, channels=3, height=48, width=64):
    """Smooth linear light whose luma has exactly the root mean square of a well-exposed photograph."""
    coarse = torch.rand(n, channels, 4, 5, generator=Rng(3).at("lit", n).torch())
    light = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") ** 2
    power = luma(light).square().mean(dim=(1, 2, 3), keepdim=True)
    return (light * TARGET / power.sqrt()).clamp_max(1.0)


def column(*values):
    return torch.tensor(values).view(-1, 1, 1, 1)


@settings(deadline=None, max_examples=30)
@given(st.floats(3.0, 400.0))
def test_gain_is_the_missing_light(factor):
    light = lit()
    assert exposure_gain(light / factor, 512).flatten().tolist() == pytest.approx([factor] * 2, rel=0.02)


def test_gain_leaves_well_exposed_images_and_never_darkens():
    light = lit()
    assert (exposure_gain(light, 512) - 1).abs().max() < 0.001
    assert torch.equal(exposure_gain((3 * light).clamp_max(1), 512), torch.ones(2, 1, 1, 1))
    gains = torch.cat(
        [exposure_gain(light / factor, 512) for factor in (1.0, 1.2, 1.6, 2.2, 3.0, 9.0)], dim=1
    )
    assert (gains.diff(dim=1) > 0).all()
    assert (gains[:, 1:4] < column(1.2, 1.6, 2.2).view(1, 3, 1, 1)).all(), "doubtful cases are held back"


def test_gain_is_limited():
    assert exposure_gain(torch.zeros(1, 3, 8, 8), 64).item() == pytest.approx(64)
    assert exposure_gain(lit() / 500, 64).max().item() == pytest.approx(64)


def test_auto_exposure_undoes_darkness_without_noise():
    bright = from_linear(lit())
    found = part("auto_exposure")(from_linear(lit() / 20))
    assert (found - bright).abs().max() < 0.01


def test_a_lamp_does_not_hide_the_night():
    dark = lit() / 50
    dark[:, :, :2, :2] = 1.0
    assert exposure_gain(dark, 512).min() > 4


@each_kind
def test_gradient_through_the_estimated_gain(kind):
    restorer = part(kind).double()
    x = from_linear(lit(1, height=16, width=16).double() / 30).requires_grad_()
    draw = Rng(4).at("directions").torch()
    direction, weights = (torch.randn(x.shape, generator=draw, dtype=x.dtype) for _ in range(2))
    (gradient,) = torch.autograd.grad((restorer.restored(x) * weights).sum(), x)
    step = 1e-7
    with torch.no_grad():
        ahead, behind = (restorer.restored(x + sign * step * direction) for sign in (1, -1))
    measured = float(((ahead - behind) * weights).sum()) / (2 * step)
    assert measured == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


@each_kind
def test_tiles_get_the_gain_of_the_whole_image(kind):
    restorer = part(kind)
    # Lit from the left: tiles alone would be amplified differently.
    slope = torch.linspace(0.01, 1.0, 160)
    x = from_linear(lit(2, height=104, width=160) * slope * column(0.1, 0.02))
    with torch.no_grad():
        whole, tiles = restorer(x), restore_tiled(restorer, x, 64)
        apart = restorer(x[:, :, :, :64])
    assert (whole - tiles).abs().max() < 1e-5
    assert (whole[:, :, :, :32] - apart[:, :, :, :32]).abs().max() > 0.1
    fixed = restorer.spec.prepared(x[:1])
    assert fixed.gain == pytest.approx(exposure_gain(to_linear(x[:1]), 512).item())
    assert fixed.prepared(x[1:]) is fixed


@each_kind
@pytest.mark.slow
def test_estimated_gain_exports(kind):
    onnxruntime = pytest.importorskip("onnxruntime")
    restorer, free = part(kind), torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        restorer,
        (from_linear(lit() / 10),),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = from_linear(lit(3, height=27, width=41) / column(4.0, 20.0, 60.0))
    with torch.no_grad():
        expected = restorer(x).numpy()
    (found,) = session.run(None, {"image": x.numpy()})
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("factor", [4.0, 16.0, 64.0])
@pytest.mark.parametrize("value", [0.35, 0.6, 0.9])
def test_told_noise_is_the_noise(factor, value):
    flat = torch.full((1, 3, 128, 128), value)
    dark = short_exposure(flat, column(factor), column(4000.0), column(3.0), Rng(5))
    light, gain = to_linear(dark), column(factor)
    measured = from_linear(gain * light).std()
    told = raised_noise(light, gain, full_well=4000, read_noise=3)
    assert told.shape == (1, 1, 64, 64)
    assert told.mean().item() == pytest.approx(measured.item(), rel=0.2)


def test_noise_stays_finite_in_the_dark_and_grows_with_the_gain():
    dark = torch.zeros(1, 3, 8, 8, requires_grad=True)
    levels = [raised_noise(dark, column(gain), full_well=4000, read_noise=3) for gain in (1.0, 8.0, 512.0)]
    assert levels[0].max() < levels[1].min() < levels[2].min() < 1
    (gradient,) = torch.autograd.grad(levels[2].sum(), dark)
    assert torch.isfinite(gradient).all()


def test_tensors_are_those_of_the_denoiser():
    fields = {"width": 8, "blocks": 2}
    ours, theirs = (
        RESTORERS.parse({"kind": kind} | fields).network().state_dict()
        for kind in ("amplified_unet", "unet_denoiser")
    )
    assert {name: each.shape for name, each in ours.items()} == {n: e.shape for n, e in theirs.items()}


def test_a_constant_map_is_one_level():
    network = UNetDenoiser(3, 4, 1, blind=False)
    x, sigma = from_linear(lit()), column(0.1, 0.3)
    with torch.no_grad():
        assert torch.equal(network(x, sigma), network(x, sigma.expand(2, 1, 24, 32)))


def test_training_may_keep_the_own_exposure():
    images, model = from_linear(lit()), part("amplified_unet")
    truth = ShortExposure(factor=(8, 64)).degrade(model, images, Rng(6))
    own = ShortExposure(factor=(8, 64), exposure="own").degrade(model, images, Rng(6))
    assert torch.equal(truth.degraded, own.degraded)
    assert torch.equal(truth.target, images)
    brightened = part("auto_exposure")(own.degraded)
    # The noise averages out, so that target and amplified image are equally bright.
    means = [to_linear(each).mean(dim=(1, 2, 3)) for each in (own.target, brightened)]
    torch.testing.assert_close(*means, rtol=0.05, atol=0)


def test_training_at_the_own_exposure_needs_a_gain():
    model: Any = SimpleNamespace(spec=RESTORERS.parse({"kind": "gamma"}))
    with pytest.raises(ConfigError, match="gamma has no gain"):
        ShortExposure(exposure="own").degrade(model, from_linear(lit()), Rng(6))


def test_shipped_weights_remove_the_raised_noise_and_keep_daylight():
    shipped = RESTORERS.parse({"kind": "amplified_unet", "weights": "low-light-v2"}).build()
    bright = from_linear(lit(height=64, width=96))
    gain, full_well, read_noise = (column(value, value) for value in (32.0, 4000.0, 3.0))
    dark = short_exposure(bright, gain, full_well, read_noise, Rng(7))
    with torch.no_grad():
        assert (psnr(shipped(dark), bright) > psnr(part("auto_exposure")(dark), bright) + 4).all()
        assert (psnr(shipped(bright), bright) > 35).all()
