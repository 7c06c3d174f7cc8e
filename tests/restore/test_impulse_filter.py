"""Salt-and-pepper noise is found by its values and filled; every other image stays as it is, bit by bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage import data as photographs

from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.impulse_noise import ImpulseNoise
from clearsight.restore.classical.impulse_filter import ImpulseFilter
from clearsight.restore.classical.median import Median
from clearsight.restore.quality.psnr_ssim import psnr


def photo(name: str, side: int = 160) -> torch.Tensor:
    pixels = cv2.resize(getattr(photographs, name)(), (side, side), interpolation=cv2.INTER_AREA)
    return tensor(pixels)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1)[None].float() / 255


def peppered(x: torch.Tensor, density: float, seed: int = 0) -> torch.Tensor:
    drawn = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(drawn < density / 2, 0.0, torch.where(drawn > 1 - density / 2, 1.0, x))


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_photographs_stay_as_they_are(name: str) -> None:
    x = photo(name)
    assert torch.equal(ImpulseFilter().build()(x), x)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_common_corruption_is_undone_far_better_than_by_a_median(severity: int) -> None:
    x = photo("astronaut")
    pixels = (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    noisy = tensor(ImpulseNoise(severity=severity)(pixels, Rng(0)))
    restored = ImpulseFilter().build()(noisy)
    assert psnr(restored, x) > 27
    assert psnr(restored, x) > psnr(Median().build()(noisy), x) + 3


@pytest.mark.parametrize(("density", "least"), [(0.03, 44), (0.3, 34), (0.5, 29)])
def test_values_that_were_not_replaced_stay(density: float, least: float) -> None:
    x = 0.1 + 0.8 * photo("coffee")
    noisy = peppered(x, density)
    restored = ImpulseFilter().build()(noisy)
    kept = noisy == x
    assert torch.equal(restored[kept], x[kept])
    assert psnr(restored, x) > least


def test_other_channels_tell_the_brightness() -> None:
    """A grey ramp of fine stripes: one channel is lost everywhere it can be, and comes back from the others."""
    stripes = (torch.arange(96) % 2 * 0.4 + 0.3).expand(1, 3, 96, 96).clone()
    lost = torch.rand(96, 96, generator=torch.Generator().manual_seed(1)) < 0.2
    noisy = stripes.clone()
    noisy[0, 1][lost] = torch.where(torch.arange(96).expand(96, 96)[lost] % 3 == 0, 0.0, 1.0)
    restored = ImpulseFilter(active=True).build()(noisy)
    assert float((restored - stripes).abs().max()) < 0.02


def test_grey_images_are_filled_too() -> None:
    x = tensor(cv2.resize(photographs.camera(), (128, 128), interpolation=cv2.INTER_AREA))
    assert psnr(ImpulseFilter().build()(peppered(x, 0.3)), x) > 24


@pytest.mark.parametrize("deviation", [0.1, 0.2, 0.4])
def test_gaussian_noise_that_is_cut_off_is_no_salt(deviation: float) -> None:
    x = photo("astronaut")
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    noisy = ((x + deviation * drawn).clamp(0, 1) * 255).round() / 255
    assert torch.equal(ImpulseFilter().build()(noisy), noisy)


def test_a_white_wall_and_a_black_one_stay() -> None:
    x = photo("coffee").clone()
    x[..., :60, :], x[..., 100:, :] = 1.0, 0.0
    restored = ImpulseFilter().build()(peppered(x, 0.2))
    assert psnr(restored, x) > 28


def test_snow_alone_is_no_salt_and_pepper() -> None:
    x = photo("coffee").clone()
    flakes = torch.rand(160, 160, generator=torch.Generator().manual_seed(3)) < 0.1
    x[0, :, flakes] = 1.0
    assert torch.equal(ImpulseFilter().build()(x), x)


def test_a_dark_image_is_judged_by_its_white_values() -> None:
    x = 0.05 + 0.1 * photo("astronaut")
    assert psnr(ImpulseFilter().build()(peppered(x, 0.2)), x) > 35


def test_each_image_is_judged_by_itself() -> None:
    x = photo("astronaut", 96)
    noisy = peppered(x, 0.2)
    part = ImpulseFilter().build()
    together = part(torch.cat([x, noisy]))
    assert torch.equal(together[:1], x)
    torch.testing.assert_close(together[1:], part(noisy), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_of_one_colour_stays(value: float) -> None:
    x = torch.full((1, 3, 40, 50), value)
    assert torch.equal(ImpulseFilter().build()(x), x)


def test_nothing_but_impulses_gives_finite_values() -> None:
    restored = ImpulseFilter(active=True).build()(peppered(torch.full((1, 3, 40, 40), 0.5), 1.0))
    assert torch.isfinite(restored).all()
