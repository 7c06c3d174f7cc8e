from __future__ import annotations

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.method import MODEL, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.restore.classical.bicubic import Bicubic
from clearsight.restore.learned.dncnn import DnCNN
from clearsight.restore.learned.span import Span
from clearsight.restore.ops.resize import resize_bicubic, to_8_bit
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.quality.super_resolution import cropped, y_psnr
from clearsight.restore.training.super_resolution import SuperResolution


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=Rng(1).at("resize", *shape).torch())


def slow_line(line: np.ndarray, scale: Fraction) -> np.ndarray:
    """Resize one line pixel by pixel, from the definition: Keys' kernel, stretched when reducing, mirrored."""

    def keys(t: float) -> float:
        t = abs(t)
        if t <= 1:
            return 1.5 * t**3 - 2.5 * t**2 + 1
        return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    stretch = min(1.0, float(scale))
    out = []
    for new in range(math.ceil(len(line) * scale)):
        centre = (new + 0.5) / float(scale) - 0.5
        total = weight = 0.0
        for at in range(math.floor(centre - 2 / stretch) - 1, math.ceil(centre + 2 / stretch) + 2):
            share = keys((at - centre) * stretch)
            inside = at % (2 * len(line))
            total += share * line[min(inside, 2 * len(line) - 1 - inside)]
            weight += share
        out.append(total / weight)
    return np.array(out)


@settings(deadline=None, max_examples=15)
@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.sampled_from(
        [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(4), Fraction(5, 7)]
    ),
)
@pytest.mark.slow
def test_resizing_is_what_its_definition_says(height, width, scale):
    x = images(2, 3, height, width).double()
    found = resize_bicubic(x, scale).numpy()
    rows = np.apply_along_axis(slow_line, 2, x.numpy(), scale)
    expected = np.apply_along_axis(slow_line, 3, rows, scale)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-12


def test_halving_known_values():
    # By hand: stretched taps keys(0.25 + k / 2) / 2 = (-3, -9, 29, 111, 111, 29, -9, -3) / 256.
    line = torch.zeros(1, 1, 1, 16)
    line[..., 8] = 1.0
    row = resize_bicubic(line.expand(1, 1, 16, 16), Fraction(1, 2))[0, 0, 4]
    expected = torch.tensor([0.0, 0.0, -3.0, 29.0, 111.0, -9.0, 0.0, 0.0]) / 256
    assert (row - expected).abs().max() < 1e-7


def test_enlarging_equals_the_restorer():
    x = images(1, 3, 9, 11)
    assert (resize_bicubic(x, 3).clamp(0, 1) - Bicubic(scale=3).build()(x)).abs().max() < 1e-6


@given(st.floats(0, 1), st.sampled_from([Fraction(1, 3), 0.25, 2]))
def test_constants_stay(value, scale):
    out = resize_bicubic(torch.full((1, 1, 6, 7), value, dtype=torch.float64), scale)
    assert (out - value).abs().max() < 1e-12


def test_resizing_refuses_nonsense():
    with pytest.raises(ShapeError, match="above 0"):
        resize_bicubic(images(1, 1, 4, 4), 0)
    with pytest.raises(ShapeError, match="float images"):
        resize_bicubic(images(4, 4, 4), 2)
    with pytest.raises(ShapeError, match="float images"):
        resize_bicubic(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 2)


def test_eight_bits():
    x = torch.tensor([-0.1, 0.0, 0.4999 / 255, 0.5001 / 255, 0.5, 254.6 / 255, 1.2])
    assert torch.equal((to_8_bit(x) * 255).round(), torch.tensor([0.0, 0, 0, 1, 128, 255, 255]))
    assert torch.equal(to_8_bit(to_8_bit(x)), to_8_bit(x))


def test_y_psnr_sees_only_the_luminance_inside_the_border():
    target = to_8_bit(images(2, 3, 12, 12) * 0.5 + 0.2)
    grey = (target + 10 / 255).clamp(0, 1)
    # Ten levels more in every channel are 10 * 219 / 255 levels more of Y.
    expected = 20 * math.log10(255 / (10 * 219 / 255))
    assert (y_psnr(grey, target, 2) - expected).abs().max() < 1e-2
    framed = target.clone()
    framed[..., :2, :] = 0
    assert (y_psnr(framed, target, 2) == 100).all()
    assert (y_psnr(framed, target, 1) < 30).all()


def test_cropped_is_divisible():
    assert cropped(images(1, 3, 13, 11), 4).shape == (1, 3, 12, 8)
    assert cropped(images(1, 3, 12, 8), 4).shape == (1, 3, 12, 8)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "scale", "published"),
    [("set5", 2, 33.66), ("set5", 3, 30.39), ("set5", 4, 28.42), ("set14", 4, 26.00)],
)
def test_bicubic_reaches_the_published_figure(shared_data, name, scale, published):
    figures = []
    for image in read_images(shared_data / f"{name}.tar"):
        target = cropped(image, scale)
        small = to_8_bit(resize_bicubic(target, Fraction(1, scale)))
        figures.append(float(y_psnr(resize_bicubic(small, scale), target, scale)))
    assert len(figures) == {"set5": 5, "set14": 14}[name]
    assert abs(np.mean(figures) - published) <= 0.025


def read_images(path):
    import tarfile

    with tarfile.open(path) as tar:
        members = sorted((m for m in tar if m.name.endswith(".png")), key=lambda m: m.name)
        for member in members:
            raw = np.frombuffer(tar.extractfile(member).read(), np.uint8)
            image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
            image = image[..., None] if image.ndim == 2 else image[..., ::-1].copy()
            yield torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pairs_fit_the_model(scale):
    model = Span(scale=scale, width=4, blocks=1).build()
    x = images(2, 3, 24, 36)
    method = SuperResolution()
    (condition,) = method.conditions
    pair = method.pair(model, x, condition, Rng(0))
    assert pair.sigma is None
    assert torch.equal(pair.target, x)
    assert pair.degraded.shape == (2, 3, 24 // scale, 36 // scale)
    assert torch.equal(pair.degraded, method.degrade(model, x, Rng(5)).degraded)
    levels = pair.degraded * 255
    assert (levels - levels.round()).abs().max() < 1e-4
    assert model.restored(pair.degraded).shape == x.shape


def test_method_refuses_what_cannot_be_trained():
    with pytest.raises(ConfigError, match="does not enlarge"):
        SuperResolution().degrade(DnCNN(depth=3, width=4).build(), images(1, 3, 8, 8), Rng(0))
    with pytest.raises(ConfigError, match="scale 3 does not divide images of 8x8"):
        SuperResolution().degrade(Span(scale=3, width=4, blocks=1).build(), images(1, 3, 8, 8), Rng(0))


@pytest.mark.slow
def test_a_few_steps_beat_cubic_convolution(no_global_rng):
    model = Span(scale=2, width=8, blocks=1).build().train()
    # Discs: sharp edges, which cubic convolution blurs.
    at = torch.arange(24.0)
    disc = ((at[:, None] - 11) ** 2 + (at - 13) ** 2 < 50).float() * 0.6 + 0.2
    x = torch.stack([disc, disc.roll(3, 0), disc.roll(4, 1), 1 - disc])[:, None].expand(4, 3, 24, 24)
    method = SuperResolution()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    pair = method.pair(model, x, "bicubic", Rng(0))
    before = psnr(model.restored(pair.degraded), x).mean()
    for step in range(100):
        batch = TrainBatch(x, None, ("a", "b", "c", "d"), step / 100)
        for player, loss in method.step({MODEL: model}, batch, Rng(0)):
            assert player == MODEL
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    after = psnr(model.eval().restored(pair.degraded), x).mean()
    assert after > before + 0.5
