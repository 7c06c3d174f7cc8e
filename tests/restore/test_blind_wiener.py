"""Blur that is read off the spectrum: found where it is, and only there, and undone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.photos import Photos
from clearsight.restore.classical.blind_wiener import BlindWiener
from clearsight.restore.learned.blind_plug_and_play import BlindPlugAndPlay
from clearsight.restore.ops.psf import DiskKernel, GaussianKernel
from clearsight.restore.ops.spectral_blur import spectral_blur
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.tiling.tiling import restore_tiled

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def photographs(side: int = 224) -> list[np.ndarray]:
    source = Photos(size=side)
    entries = [entry for entry in source.index().entries if entry.id.split("/")[1] in NAMES]
    return [sample.image for sample in source.read(entries) if isinstance(sample, Sample)]


def blurred(image: np.ndarray, kernel: DiskKernel | GaussianKernel) -> np.ndarray:
    return np.rint(cv2.filter2D(image.astype(np.float64), -1, kernel.taps())).clip(0, 255)


def batch(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("radius", [2.0, 3.0, 5.25, 8.0, 12.0])
def test_a_disk_is_found_to_a_quarter_of_a_pixel(radius: float) -> None:
    for image in photographs():
        kernel, misfit_ratio = spectral_blur(blurred(image, DiskKernel(radius=radius)).mean(2) / 255)
        assert isinstance(kernel, DiskKernel)
        assert kernel.radius == pytest.approx(radius, abs=0.25)
        assert misfit_ratio > 2.5


@pytest.mark.parametrize("worse", ["noise", "jpeg"])
def test_a_disk_is_found_under_noise_and_compression(worse: str) -> None:
    found = []
    for number, image in enumerate(photographs()):
        seen = blurred(image, DiskKernel(radius=6.0))
        if worse == "noise":
            seen = (seen + 3 * Rng(1).at(number).numpy().standard_normal(seen.shape)).clip(0, 255)
        else:
            _, data = cv2.imencode(".jpg", seen.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])
            seen = cv2.imdecode(data, cv2.IMREAD_COLOR)
        kernel, _ = spectral_blur(seen.mean(2) / 255)
        found.append(isinstance(kernel, DiskKernel) and abs(kernel.radius - 6.0) <= 0.5)
    assert sum(found) >= len(NAMES) - 1


def test_a_gaussian_is_found() -> None:
    for image in photographs():
        kernel, misfit_ratio = spectral_blur(blurred(image, GaussianKernel(sigma=3.0)).mean(2) / 255)
        assert isinstance(kernel, GaussianKernel)
        assert kernel.sigma == pytest.approx(3.0, rel=0.25)
        assert misfit_ratio > 2.5


@pytest.mark.parametrize(("height", "width"), [(224, 224), (150, 211), (63, 300)])
def test_sharp_flat_and_small_images_stay_as_they_are(height: int, width: int) -> None:
    part = BlindWiener().build()
    # Not the rocket, whose floodlit vertical lines are taken for motion.
    images = batch([image[:height] for image in photographs(300)[:3]])[..., :width]
    assert torch.equal(part(images), images)
    noisy = (images + 0.1 * torch.randn(images.shape, generator=Rng(0).at("n").torch())).clamp(0, 1)
    assert torch.equal(part(noisy), noisy)
    for level in (0.0, 0.5, 1.0):
        flat = torch.full((1, 3, height, width), level)
        assert torch.equal(part(flat), flat)


def test_a_gradient_of_light_that_passes_for_blur_is_hardly_changed() -> None:
    ramp = torch.linspace(0.1, 0.9, 211).expand(1, 3, 150, 211).contiguous()
    restored = BlindWiener().build()(ramp)
    # A straight slope is what it was before any blur; only at the borders nobody knows how it went on.
    assert (restored - ramp)[..., 40:-40, 40:-40].abs().max() < 2 / 255


def test_blur_is_undone_image_by_image() -> None:
    sharp = photographs()
    kernels: list[DiskKernel | GaussianKernel | None]
    kernels = [DiskKernel(radius=4.0), GaussianKernel(sigma=2.0), None, DiskKernel(radius=9.0)]
    seen = [image if k is None else blurred(image, k) for image, k in zip(sharp, kernels, strict=True)]
    part, x, clean = BlindWiener().build(), batch(seen), batch(sharp)
    restored = part(x)
    assert torch.equal(restored[2], x[2])
    for i in (0, 1, 3):
        assert (
            psnr(restored[i : i + 1], clean[i : i + 1]).item()
            > psnr(x[i : i + 1], clean[i : i + 1]).item() + 1
        )
        assert torch.equal(part(x[i : i + 1])[0], restored[i])


@pytest.mark.slow
def test_tiles_and_gradients_have_the_blur_of_the_whole_image() -> None:
    x = batch([blurred(photographs(300)[0], DiskKernel(radius=3.0))])
    part = BlindWiener().build()
    whole = part(x)
    tiled = restore_tiled(part, x, 128)
    assert torch.allclose(tiled, whole, atol=1e-5)
    leaf = x.clone().requires_grad_()
    out = part.surrogate(leaf)
    assert torch.equal(out.detach(), whole)
    (slope,) = torch.autograd.grad(out[0, 0, 150, 150], leaf)
    assert slope[0, 0].abs().sum() > 1
    assert not part(leaf).requires_grad


@pytest.mark.slow
def test_a_denoiser_as_the_prior_undoes_it_better_and_spares_the_same_images() -> None:
    sharp = photographs()
    x = batch([blurred(image, DiskKernel(radius=6.0)) for image in sharp[:2]] + sharp[2:3])
    x[:2] = (x[:2] + 3 / 255 * torch.randn(x[:2].shape, generator=Rng(1).at("n").torch())).clamp(0, 1)
    clean = batch(sharp[:3])
    with torch.no_grad():
        filtered, restored = BlindWiener().build()(x), BlindPlugAndPlay().build()(x)
    assert torch.equal(restored[2], x[2])
    assert torch.all(psnr(restored[:2], clean[:2]) > psnr(filtered[:2], clean[:2]) + 0.5)
