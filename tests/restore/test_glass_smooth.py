"""Grain of displaced pixels is found where it is, and only there, and smoothed; it is not sharpened."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data as photographs

from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.glass_blur import GlassBlur
from clearsight.restore.blind_deconvolution import found_kernel
from clearsight.restore.classical.blind_wiener import BlindWiener
from clearsight.restore.classical.glass_smooth import GlassSmooth
from clearsight.restore.ops.filtering import gaussian_blurred
from clearsight.restore.ops.psf import DiskKernel, GaussianKernel
from clearsight.restore.ops.spectral_blur import spectral_blur
from clearsight.restore.ops.spectral_glass import spectral_glass
from clearsight.restore.ops.tone import luma
from clearsight.restore.tiling.tiling import restore_tiled

NAMES = ("astronaut", "coffee", "chelsea")


def photo(name: str, size: tuple[int, int] = (224, 224)) -> np.ndarray:
    return np.asarray(cv2.resize(getattr(photographs, name)(), size, interpolation=cv2.INTER_AREA))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def glass(name: str, severity: int) -> np.ndarray:
    return np.asarray(GlassBlur(severity=severity, table="imagenet_c")(photo(name), Rng(0)))


def seen(x: torch.Tensor) -> np.ndarray:
    return luma(x)[0, 0].numpy()


@pytest.mark.parametrize("severity", [3, 5])
def test_displaced_pixels_are_found_and_smoothed(severity: int) -> None:
    found = 0
    for name in NAMES:
        x = tensor(glass(name, severity))
        spread = spectral_glass(seen(x))
        if spread is not None:
            found += 1
            assert 2.0 <= spread <= 4.3
            torch.testing.assert_close(GlassSmooth().build()(x), gaussian_blurred(x, 0.8 * spread))
    assert found >= 2


def test_they_are_not_sharpened() -> None:
    """Their spectrum falls as that of a Gaussian blur, and was taken for one."""
    taken = 0
    for name in NAMES:
        x = tensor(glass(name, 5))
        taken += spectral_blur(seen(x)).misfit_ratio >= 2.5
        assert found_kernel(seen(x)) is None
        assert torch.equal(BlindWiener().build()(x), x)
    assert taken == len(NAMES)


@pytest.mark.parametrize("size", [(224, 224), (211, 150), (300, 63)])
def test_sharp_flat_noisy_and_small_images_stay_as_they_are(size: tuple[int, int]) -> None:
    part = GlassSmooth().build()
    images = torch.cat([tensor(photo(name, size)) for name in NAMES])
    assert torch.equal(part(images), images)
    noisy = (images + 0.1 * torch.randn(images.shape, generator=Rng(0).at("n").torch())).clamp(0, 1)
    assert torch.equal(part(noisy), noisy)
    flat = torch.full_like(images[:1], 0.5)
    assert torch.equal(part(flat), flat)


@pytest.mark.parametrize("kernel", [GaussianKernel(sigma=2.5), DiskKernel(radius=5.0)])
def test_other_blur_is_none(kernel: GaussianKernel | DiskKernel) -> None:
    for name in NAMES:
        x = tensor(cv2.filter2D(photo(name), -1, kernel.taps()))
        assert torch.equal(GlassSmooth().build()(x), x)
        assert found_kernel(seen(x)) is not None


def test_tiles_equal_the_whole() -> None:
    part, x = GlassSmooth().build(), tensor(glass("coffee", 4))
    torch.testing.assert_close(restore_tiled(part, x, tile=96), part(x), rtol=0, atol=1e-6)


def test_a_spread_that_is_told_is_not_looked_for() -> None:
    x = tensor(photo("coffee", (48, 48)))
    torch.testing.assert_close(GlassSmooth(spread=2.0).build()(x), gaussian_blurred(x, 1.6))
    assert torch.equal(GlassSmooth(spread=0).build()(x), x)
