"""Zoom blur is found where it is, and only there, and undone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data as photographs
from torch.nn import functional

from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.zoom_blur import ZoomBlur as ZoomCorruption
from clearsight.restore.classical.zoom_deblur import ZoomDeblur
from clearsight.restore.networks.zoom import ZoomBlur
from clearsight.restore.ops.psf import DiskKernel
from clearsight.restore.ops.spectral_zoom import spectral_zoom
from clearsight.restore.ops.tone import luma
from clearsight.restore.quality.psnr_ssim import psnr

NAMES = ("astronaut", "coffee", "chelsea")


def photo(name: str, size: tuple[int, int] = (224, 224)) -> np.ndarray:
    return np.asarray(cv2.resize(getattr(photographs, name)(), size, interpolation=cv2.INTER_AREA))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("height", "width"), [(40, 57), (64, 64)])
@pytest.mark.parametrize("factor", [1.07, 1.5, 3.7])
def test_the_blur_is_the_mean_of_enlarged_images_and_its_adjoint_is_exact(
    factor: float, height: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 1, 3, height, width, generator=generator, dtype=torch.float64)
    blur = ZoomBlur(factor, 0.1, 5, x)
    expected = torch.zeros_like(x)
    for copy in range(5):
        scale = 1.0 / (1.0 + (copy + 0.5) / 5 * (factor - 1.0))
        turned = torch.tensor([[[scale, 0.0, 0.0], [0.0, scale, 0.0]]], dtype=torch.float64)
        grid = functional.affine_grid(turned, list(x.shape), align_corners=False)
        expected += functional.grid_sample(x, grid, align_corners=False) / 5
    torch.testing.assert_close(blur(x), 0.9 * expected + 0.1 * x, rtol=0, atol=1e-12)
    assert (blur(x) * y).sum().item() == pytest.approx((x * blur.adjoint(y)).sum().item(), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.12, 1.25, 1.4])
def test_the_factor_is_found_and_undone(factor: float) -> None:
    gains = []
    for name in ("astronaut", "coffee"):
        sharp = tensor(photo(name))
        x = ZoomBlur(factor, 0.0, 24, sharp)(sharp)
        found = spectral_zoom(luma(x)[0, 0].numpy())
        assert found is not None
        assert found.factor == pytest.approx(factor, rel=0.03)
        gains.append(psnr(ZoomDeblur().build()(x), sharp) - psnr(x, sharp))
    assert np.mean(gains) > 4.0
    assert min(gains) > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("severity", [1, 2, 3, 4])
def test_the_common_corruption_is_undone(severity: int) -> None:
    for name in NAMES:
        pixels = photo(name)
        x = tensor(ZoomCorruption(severity=severity, table="imagenet_c")(pixels, Rng(0)))
        assert psnr(ZoomDeblur().build()(x), tensor(pixels)) > psnr(x, tensor(pixels)) + 0.7


@pytest.mark.parametrize("size", [(224, 224), (211, 150), (300, 63)])
def test_sharp_flat_and_small_images_stay_as_they_are(size: tuple[int, int]) -> None:
    part = ZoomDeblur().build()
    images = torch.cat([tensor(photo(name, size)) for name in NAMES])
    assert torch.equal(part(images), images)
    flat = torch.full_like(images[:1], 0.5)
    assert torch.equal(part(flat), flat)


def test_defocus_is_left_to_who_undoes_it() -> None:
    x = tensor(cv2.filter2D(photo("astronaut"), -1, DiskKernel(radius=5.0).taps()))
    assert torch.equal(ZoomDeblur().build()(x), x)


def test_a_factor_that_is_told_is_not_looked_for() -> None:
    sharp = tensor(photo("coffee", (48, 48)))
    x = ZoomBlur(1.3, 0.0, 16, sharp)(sharp)
    assert torch.equal(ZoomDeblur().build()(x), x)
    assert psnr(ZoomDeblur(factor=1.3).build()(x), sharp) > psnr(x, sharp) + 3.0


def test_a_plain_image_is_its_own_result() -> None:
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(ZoomDeblur(factor=1.2).build()(flat), flat, rtol=0, atol=1e-5)
