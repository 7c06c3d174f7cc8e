from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.restore.quality.psnr_ssim import luminance, psnr, ssim


def photo(size: int = 96) -> torch.Tensor:
    array = skimage.data.astronaut()[40 : 40 + size, 180 : 180 + size].astype(np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def noisy(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return (x + sigma * torch.randn(x.shape, generator=Rng(1).at("noise").torch())).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("channels", [1, 3])
def test_against_scikit_image(sigma, channels):
    a = photo()[:, :channels]
    b = noisy(a, sigma)
    left, right = (t[0].permute(1, 2, 0).double().numpy() for t in (a, b))
    assert float(psnr(a, b)) == pytest.approx(peak_signal_noise_ratio(left, right, data_range=1), abs=1e-4)
    expected = structural_similarity(
        left,
        right,
        data_range=1,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(a, b)) == pytest.approx(expected, abs=1e-5)


def test_identical_images_get_the_ceiling():
    a = photo().repeat(3, 1, 1, 1)
    assert torch.equal(psnr(a, a), torch.full((3,), 100.0))
    assert torch.allclose(ssim(a, a), torch.ones(3))


def test_flat_images_have_a_closed_form():
    a, b = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.6)
    assert float(psnr(a, b)) == pytest.approx(20.0, abs=1e-4)
    assert float(ssim(a, b)) == pytest.approx((0.6 + 1e-4) / (0.61 + 1e-4), abs=1e-5)


def test_each_pair_by_itself():
    a = photo().repeat(2, 1, 1, 1)
    b = torch.cat([noisy(a[:1], 0.1), a[1:]])
    for score in (psnr, ssim):
        alone = torch.cat([score(a[i : i + 1], b[i : i + 1]) for i in range(2)])
        assert torch.allclose(score(a, b), alone, atol=1e-6)


def test_border_is_left_out():
    a = photo()
    b = a.clone()
    b[:, :, :4] = 0
    b[:, :, :, -4:] = 1
    assert float(psnr(a, b)) < 30
    assert float(psnr(a, b, border=4)) == 100
    assert float(ssim(a, b, border=4)) == pytest.approx(1)


@pytest.mark.parametrize(("size", "border"), [((10, 40), 0), ((40, 10), 0), ((16, 16), 3)])
def test_ssim_refuses_less_than_a_window(size, border):
    x = torch.zeros(1, 1, *size)
    with pytest.raises(ShapeError, match="11x11"):
        ssim(x, x, border=border)
    assert psnr(x, x, border=border).shape == (1,)


def test_refuses_unequal_shapes_and_empty_insides():
    with pytest.raises(ShapeError, match="equal shape"):
        psnr(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ShapeError, match="border"):
        psnr(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), border=4)


def test_luminance_is_studio_range():
    x = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]]).view(3, 3, 1, 1)
    y = luminance(x).flatten() * 255
    assert torch.allclose(y, torch.tensor([16.0, 235.0, 81.481]), atol=1e-3)
    grey = torch.rand(1, 1, 4, 4, generator=Rng(0).torch())
    assert luminance(grey) is grey
    with pytest.raises(ShapeError):
        luminance(torch.zeros(1, 2, 4, 4))


@given(st.integers(0, 10_000), st.floats(0.001, 0.5))
@pytest.mark.slow
def test_symmetric_and_bounded(seed, sigma):
    generator = Rng(seed).torch()
    a = torch.rand(1, 1, 12, 13, generator=generator)
    b = (a + sigma * torch.randn(a.shape, generator=generator)).clamp(0, 1)
    for score, most in ((psnr, 100.0), (ssim, 1.0)):
        assert torch.allclose(score(a, b), score(b, a), atol=1e-5)
        assert float(score(a, b)) <= most + 1e-5
