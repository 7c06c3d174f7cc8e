from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.signal import convolve2d

from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.degradations.blur import blur, blurred, eight_bits
from clearsight.restore.degradations.chain import STEPS, second_order
from clearsight.restore.degradations.exposure import short_exposure
from clearsight.restore.degradations.jpeg import jpeg, jpeg_on_device
from clearsight.restore.degradations.kernels import (
    defocus_kernel,
    defocus_kernels,
    gaussian_kernels,
    motion_kernel,
    motion_kernels,
)
from clearsight.restore.degradations.noise import (
    camera_noise,
    gaussian_noise,
    grain,
    poisson_noise,
    tone_spread,
)
from clearsight.restore.degradations.resize import DOWN, UP, down_up
from clearsight.restore.ops.linear_light import from_linear, to_linear
from clearsight.restore.training.deblur import Deblur
from clearsight.restore.training.realistic import Realistic
from clearsight.restore.training.short_exposure import ShortExposure

MODEL = SimpleNamespace(facts=SimpleNamespace(scale=1))
METHODS = [Deblur(), Realistic()]
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)


def images(count=4, channels=3, height=40, width=48, seed=0):
    """Smooth images with an edge: values in [0.05, 0.95]."""
    draw = Rng(seed).at("images").torch()
    coarse = torch.rand((count, channels, 5, 6), generator=draw)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    smooth[..., width // 2 :] = 1 - smooth[..., width // 2 :]
    return 0.05 + 0.9 * smooth


def column(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def flat(value, count=1, channels=3, side=256):
    return torch.full((count, channels, side, side), value)


def is_eight_bits(x):
    return torch.equal(x, eight_bits(x)) and bool(torch.isfinite(x).all())


# Kernels


def assert_kernel(kernel, side):
    assert kernel.shape == (side, side)
    assert np.isfinite(kernel).all()
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-9)
    at = np.arange(side) - side // 2
    assert (kernel * at).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel * at[:, None]).sum() == pytest.approx(0, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 15), st.floats(0, 90))
@pytest.mark.slow
def test_motion_kernels_are_kernels(seed, radius, length):
    assert_kernel(motion_kernel(Rng(seed), 2 * radius + 1, length), 2 * radius + 1)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 20), st.integers(0, 12))
def test_disks_are_kernels(radius, half):
    assert_kernel(defocus_kernel(radius, 2 * half + 1), 2 * half + 1)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 6), st.floats(0.05, 6), st.floats(0, 7), st.integers(0, 10))
def test_gaussians_are_kernels(along, across, angle, half):
    side = 2 * half + 1
    found = gaussian_kernels(np.array([along]), np.array([across]), np.array([angle]), side)
    assert_kernel(found[0], side)


def test_motion_kernels_keep_the_length_and_fit():
    lengths = np.full(400, 12.0)
    kernels = motion_kernels(Rng(3), 31, lengths)
    at = np.arange(31) - 15
    spread = np.sqrt((kernels * (at**2 + at[:, None] ** 2)).sum(axis=(1, 2)))
    # No path of this length lies farther out than half of it, and bilinear weights add at most 1/4 an axis.
    assert spread.max() <= np.sqrt(6**2 + 0.5)
    # A quarter are straight lines at even speed: their variance is length^2 / 12, and what the weights add.
    even = (spread > np.sqrt(12)) & (spread < np.sqrt(12 + 0.5))
    assert 0.2 < even.mean() < 0.6
    assert spread.min() < 0.6 * spread.max()
    assert (motion_kernels(Rng(3), 5, lengths).sum(axis=(1, 2)) > 0.999).all()


def test_no_motion_is_no_blur():
    kernel = motion_kernel(Rng(0), 9, 0.0)
    assert kernel[4, 4] == pytest.approx(1)


def test_a_disk_has_its_area_and_variance():
    kernel = defocus_kernels(np.array([5.0]), 15)[0]
    at = np.arange(15) - 7
    assert 1 / kernel.max() == pytest.approx(np.pi * 25, rel=0.01)
    assert (kernel * at**2).sum() == pytest.approx(25 / 4, rel=0.03)
    assert np.allclose(kernel, kernel.T)


def test_a_gaussian_has_its_variances():
    kernel = gaussian_kernels(np.array([3.0]), np.array([1.0]), np.array([0.0]), 31)[0]
    at = np.arange(31) - 15
    assert (kernel * at**2).sum() == pytest.approx(9, rel=1e-3)
    assert (kernel * at[:, None] ** 2).sum() == pytest.approx(1, rel=1e-3)


def test_other_streams_draw_other_kernels():
    one, again, other = (motion_kernel(Rng(0).at(name), 21, 14) for name in ("a", "a", "b"))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("side", [0, 4, -3])
def test_even_sides_are_refused(side):
    with pytest.raises(ConfigError, match="odd"):
        defocus_kernel(2, side)


# Blur


@pytest.mark.parametrize("side", [3, 5, 11])
def test_blur_convolves_each_image_with_its_own_kernel(side):
    x = images(3)
    kernels = motion_kernels(Rng(1), side, np.full(3, float(side)))
    found = blur(x, torch.from_numpy(kernels))
    for i in range(3):
        for c in range(3):
            wanted = convolve2d(x[i, c].numpy(), kernels[i], mode="same", boundary="symm")
            assert np.allclose(found[i, c], wanted, atol=1e-5)


def test_blur_wants_one_kernel_an_image():
    with pytest.raises(ShapeError, match="4 kernels"):
        blur(images(4), torch.ones(3, 5, 5) / 25)
    with pytest.raises(ShapeError, match="odd"):
        blur(images(2), torch.ones(2, 4, 4) / 16)


def test_blurred_test_images():
    x, kernel = images(2), motion_kernel(Rng(0), 15, 12)
    one = blurred(x, kernel, 2 / 255, Rng(5))
    assert one.shape == x.shape
    assert is_eight_bits(one)
    assert torch.equal(one, blurred(x, kernel, 2 / 255, Rng(5)))
    assert not torch.equal(one, blurred(x, kernel, 2 / 255, Rng(6)))
    assert not torch.equal(one[0] - x[0], one[1] - x[1])
    still = blurred(x, motion_kernel(Rng(0), 15, 0), 0.0, Rng(5))
    assert (still - x).abs().max() <= 0.5 / 255 + 1e-6


# Noise


def correlations(noise):
    return np.corrcoef(noise.flatten(1).numpy())


@pytest.mark.parametrize("wanted", [0.0, 0.4, 1.0])
def test_gaussian_noise_has_its_level_and_correlation(wanted):
    noise = gaussian_noise(flat(0.5), column(0.1), Rng(0), correlation=column(wanted))[0] - 0.5
    assert noise.mean() == pytest.approx(0, abs=2e-3)
    assert noise.std(dim=(1, 2)).numpy() == pytest.approx(0.1, rel=0.02)
    assert correlations(noise)[np.triu_indices(3, 1)] == pytest.approx(wanted, abs=0.02)


def test_each_image_has_its_own_level():
    noise = gaussian_noise(flat(0.0, 2, 1), column(0.0, 0.2), Rng(0))
    assert noise[0].abs().max() == 0
    assert noise[1].std() == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("value", [0.0, 0.04, 0.5, 1.0])
def test_poisson_noise_follows_the_light(value):
    out = poisson_noise(flat(value), column(0.05), Rng(0))
    assert out.mean() == pytest.approx(value, abs=1e-3)
    assert out.std() == pytest.approx(0.05 * np.sqrt(value), rel=0.02)
    assert torch.allclose(out / 0.05**2, (out / 0.05**2).round(), atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (127, 131)])
def test_grain_has_unit_variance_and_its_correlation(height, width):
    widths = column(0.0, 0.7, 2.0)
    field = grain((3, 24, height, width), widths, torch.zeros(1), Rng(0))
    assert field.var(dim=(1, 2, 3)).numpy() == pytest.approx(1, rel=0.05)
    for lag in (1, 3):
        found = (field[..., lag:] * field[..., :-lag]).mean(dim=(1, 2, 3)).numpy()
        assert found[0] == pytest.approx(0, abs=0.03)
        assert found[1:] == pytest.approx(
            np.exp(-((lag / (2 * widths.flatten()[1:].numpy())) ** 2)), abs=0.05
        )


def test_camera_noise_follows_the_tone_curve_and_its_correlations():
    told = {
        "fine": column(0.5),
        "coarse": column(1.0),
        "correlation": column(0.6),
        "read_noise": column(0.01),
    }
    spread = {}
    for value in (0.1, 0.5, 0.9):
        noise = camera_noise(flat(value), column(0.02), Rng(0), **told)[0] - value
        spread[value] = noise.std().item()
        assert correlations(noise)[np.triu_indices(3, 1)] == pytest.approx(0.6, abs=0.05)
    assert spread[0.5] == pytest.approx(0.02, rel=0.03)
    assert spread[0.9] < spread[0.1] < spread[0.5]


def test_tone_spread_is_sensor_noise_times_the_curves_slope():
    # The curve as published: light ** (1 / 2.2), then 3 x^2 - 2 x^3.
    light = torch.linspace(0.01, 0.99, 50, dtype=torch.float64).requires_grad_()
    encoded = light ** (1 / 2.2)
    developed = 3 * encoded**2 - 2 * encoded**3
    (slope,) = torch.autograd.grad(developed.sum(), light)
    wanted = (light.detach() + 0.02).sqrt() * slope
    assert torch.allclose(tone_spread(developed.detach(), torch.tensor(0.02)), wanted, rtol=1e-6)
    ends = tone_spread(torch.tensor([-0.5, 0.0, 1.0, 1.5]), torch.tensor(0.0))
    assert torch.isfinite(ends).all()
    assert ends[2:].abs().max() < 1e-6


def test_repeatable_noise_is_the_processors():
    x, told = images(2), column(0.1, 0.2)
    for noise in (gaussian_noise, poisson_noise):
        assert torch.equal(noise(x, told, Rng(0)), noise(x, told, Rng(0), repeatable=True))


# JPEG


def codec(x, quality, halved=True, offset=(0, 0)):
    count = len(x)
    return jpeg(x, np.full(count, quality), np.full(count, halved), np.tile(offset, (count, 1)))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_the_file_format(channels):
    from io import BytesIO

    from PIL import Image

    x = eight_bits(images(1, channels))
    levels = (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    file = BytesIO()
    Image.fromarray(levels.squeeze()).save(file, "JPEG", quality=40, subsampling=2)
    wanted = np.asarray(Image.open(file)).reshape(levels.shape)
    found = (codec(x, 40)[0].permute(1, 2, 0).numpy() * 255).round()
    # Two builds of libjpeg may differ by a level in the transforms.
    assert np.abs(found - wanted).mean() < 0.6
    assert np.abs(found - wanted).mean() < 0.4 * np.abs(wanted - levels.astype(float)).mean()


def test_jpeg_quality_orders_the_errors():
    x = eight_bits(gaussian_noise(images(1), column(0.05), Rng(0)))
    errors = [(codec(x, quality, halved=False) - x).abs().mean().item() for quality in (10, 40, 80, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1.5 / 255
    assert (codec(x, 80) - x).abs().mean() > errors[2]


@pytest.mark.parametrize("offset", [(0, 0), (3, 0), (5, 7)])
def test_jpeg_blocks_lie_on_the_moved_grid(offset):
    ramp = torch.linspace(0, 1, 64)[:, None].expand(64, 64)[None, None]
    # At quality 1 only the mean of each 8x8 block of a gentle ramp is left: all steps lie on its borders.
    steps = codec(ramp, 1, offset=offset)[0, 0].diff(dim=0).abs().mean(dim=1)
    on_grid = (torch.arange(1, 64) + offset[0]) % 8 == 0
    assert steps[~on_grid].max() == 0
    assert steps[on_grid].mean() > 0.1


@pytest.mark.parametrize("channels", [1, 3])
def test_kornias_jpeg_is_close_to_the_files(channels):
    x = eight_bits(images(2, channels, 48, 64))
    close = jpeg_on_device(x, np.array([50, 50]))
    assert close.shape == x.shape
    assert close.min() >= 0
    assert close.max() <= 1
    assert (close - codec(x, 50)).abs().mean() < 2 / 255


# Resizing


def test_down_up_loses_detail_but_does_not_shift():
    ramp = torch.linspace(0, 1, 64).expand(6, 3, 48, 64)
    down, up = (index.ravel() for index in np.mgrid[: len(DOWN), : len(UP)])
    out = down_up(ramp, np.full(6, 0.5), down, up)
    assert out.shape == ramp.shape
    assert (out - ramp)[..., 8:-8].abs().max() < 2e-3
    noise = gaussian_noise(flat(0.5, 6, 3, 64), column(*[0.1] * 6), Rng(0))
    lost = down_up(noise, np.full(6, 0.5), down, up).std(dim=(1, 2, 3))
    assert (lost < 0.07).all()
    assert torch.equal(down_up(noise, np.ones(6), down, up), noise)


# Methods


def degraded(method, x, rng):
    return method.degrade(MODEL, x, rng)


@each_method
@pytest.mark.parametrize("channels", [1, 3])
def test_degraded_images_are_images_and_hang_on_the_stream(method, channels):
    x = images(8, channels)
    before = x.clone()
    one, again, other = (degraded(method, x, Rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(x, before)
    assert one.degraded.shape == one.target.shape == x.shape
    assert one.degraded.dtype == one.target.dtype == torch.float32
    assert is_eight_bits(one.degraded)
    assert one.target.min() >= 0
    assert one.target.max() <= 1
    assert torch.equal(one.degraded, again.degraded)
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.degraded, other.degraded)


@each_method
def test_images_of_one_batch_are_degraded_differently(method):
    same = images(1).expand(6, -1, -1, -1).contiguous()
    out = degraded(method, same, Rng(4)).degraded
    assert all(not torch.equal(out[i], out[j]) for i in range(6) for j in range(i))


@each_method
def test_conditions_are_fixed(method):
    x = images(2, height=64, width=64)
    rng = Rng(9).at("validation")
    found = {}
    for condition in method.conditions:
        pair = method.pair(MODEL, x, condition, rng)
        assert torch.equal(pair.target, x)
        assert is_eight_bits(pair.degraded)
        assert torch.equal(pair.degraded, method.pair(MODEL, x, condition, rng).degraded)
        found[condition] = (pair.degraded - x).square().mean().item()
    assert len(set(found.values())) == 2
    assert min(found.values()) > 1e-5
    if method.kind == "realistic":
        assert found["strong"] > 3 * found["mild"]
    with pytest.raises(ConfigError, match="no condition 'sigma25'"):
        method.pair(MODEL, x, "sigma25", rng)


@each_method
def test_only_restorers_of_equal_size_are_trained(method):
    double = SimpleNamespace(facts=SimpleNamespace(scale=2))
    with pytest.raises(ConfigError, match="keep the size"):
        method.degrade(double, images(1), Rng(0))
    with pytest.raises(ConfigError, match="keep the size"):
        method.pair(double, images(1), method.conditions[0], Rng(0))


@each_method
def test_no_global_generator_is_touched(method):
    before: Any = np.random.get_state()  # noqa: NPY002
    states = torch.get_rng_state(), before, random.getstate()
    degraded(method, images(6), Rng(0))
    method.pair(MODEL, images(1), method.conditions[1], Rng(0))
    assert torch.equal(torch.get_rng_state(), states[0])
    now: Any = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(now[1], states[1][1])
    assert now[2:] == states[1][2:]
    assert random.getstate() == states[2]


@each_method
def test_steps_yield_a_loss_that_trains(method):
    class Net(torch.nn.Module):
        facts = MODEL.facts

        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def restored(self, x, sigma=None):
            return self.gain * x

    net = Net()
    batch = TrainBatch(images(3), None, ("a", "b", "c"))
    ((player, loss),) = method.step({"model": net}, batch, Rng(0))
    loss.backward()
    assert player == "model"
    assert torch.isfinite(loss)
    assert net.gain.grad is not None


def test_deblur_draws_the_kinds_by_their_shares():
    x = images(40, 1, 24, 24)
    only = Deblur(shares=(0, 0, 1), width=(0.01, 0.01), noise=(0, 0), side=5)
    assert (degraded(only, x, Rng(0)).degraded - x).abs().max() <= 0.5 / 255 + 1e-6
    noise = degraded(Deblur(noise=(0.01, 0.02)), x, Rng(0)).sigma
    assert noise.shape == (40, 1, 1, 1)
    assert noise.min() >= 0.01
    assert noise.max() <= 0.02


def test_realistic_skips_and_softens_by_its_chances():
    x = images(6)
    never = Realistic(chances=(0, 0, 0, 0), soft=0)
    pair = degraded(never, x, Rng(0))
    assert torch.equal(pair.degraded, eight_bits(x))
    assert torch.equal(pair.target, x)
    always = degraded(Realistic(soft=1, soft_width=(1, 1), chances=(0, 0, 0, 0)), x, Rng(0))
    assert torch.equal(always.degraded, eight_bits(always.target))
    assert (always.target - x).abs().amax(dim=(1, 2, 3)).min() > 0.01


@pytest.mark.parametrize("step", range(len(STEPS)), ids=["blur", "resize", "noise", "jpeg"])
def test_each_step_of_the_chain_degrades_alone(step):
    x = images(6)
    chances = tuple(float(index == step) for index in range(len(STEPS)))
    told = Realistic(
        chances=chances, quality=(30, 40), shrink=(0.5, 0.6), blur=(0.8, 1), gaussian=(0.02, 0.03)
    )
    out = second_order(x, told.ranges, Rng(0))
    assert is_eight_bits(out)
    assert (out - x).abs().mean(dim=(1, 2, 3)).min() > 1e-3


def test_kornias_codec_can_be_chosen():
    told = Realistic(codec="kornia", chances=(0, 0, 0, 1), quality=(30, 30), second=0, soft=0)
    x = images(2, height=32, width=32)
    out = degraded(told, x, Rng(0)).degraded
    assert torch.allclose(out, eight_bits(jpeg_on_device(x, np.array([30, 30]))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Deblur(side=20), "odd"),
        (lambda: Deblur(length=(9, 3)), "length"),
        (lambda: Deblur(shares=(0.5, 0.1, 0.1)), "sum to 1"),
        (lambda: Realistic(camera=(0.2, 0.1)), "camera"),
        (lambda: Realistic(noises=(1, 1, 0)), "sum to 1"),
    ],
    ids=["side", "length", "shares", "camera", "noises"],
)
def test_impossible_fields_are_refused(make, message):
    with pytest.raises(ValidationError, match=message):
        make()


def test_short_exposure_counts_electrons() -> None:
    grey = torch.full((2, 3, 96, 96), 0.5)
    factor, full_well, read_noise = (
        torch.tensor(each).view(2, 1, 1, 1) for each in ([1.0, 8.0], [4000.0] * 2, [3.0] * 2)
    )
    dark = short_exposure(grey, factor, full_well, read_noise, Rng(1))
    assert torch.equal(dark, short_exposure(grey, factor, full_well, read_noise, Rng(1)))
    assert torch.allclose(dark * 255, (dark * 255).round(), atol=1e-4)
    light = to_linear(dark).mean(dim=(1, 2, 3))
    expected = to_linear(torch.tensor(0.5)) / factor.flatten()
    assert torch.allclose(light, expected, rtol=0.01)
    electrons = 4000.0 * expected
    # Rounding to 8 bits adds a little where the curve is flat.
    spread = 4000.0 * to_linear(dark).std(dim=(1, 2, 3))
    theory = (electrons + 9.0).sqrt()
    assert (spread > 0.97 * theory).all()
    assert (spread < 1.1 * theory).all()


def test_linear_light_and_back() -> None:
    levels = torch.linspace(0, 1, 256)
    assert torch.allclose(from_linear(to_linear(levels)), levels, atol=1e-6)
    assert float(to_linear(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)


def test_short_exposure_draws_each_image_and_keeps_its_range() -> None:
    method = ShortExposure(factor=(1.0, 100.0))
    model = RESTORERS.parse({"kind": "enlighten", "width": 16}).build()
    pair = method.degrade(model, torch.full((64, 3, 8, 8), 0.8), Rng(3))
    light = to_linear(pair.degraded).mean(dim=(1, 2, 3))
    factor = to_linear(torch.tensor(0.8)) / light
    assert factor.min() < 1.5
    assert factor.max() > 60
    assert factor.max() < 120
    # Even on a logarithmic scale: half of them below 10.
    assert 20 <= int((factor < 10).sum()) <= 44
    with pytest.raises(ValidationError, match="smaller number comes first"):
        ShortExposure(factor=(8.0, 2.0))
    with pytest.raises(ValidationError, match="at least 1"):
        ShortExposure(factor=(0.5, 2.0))
