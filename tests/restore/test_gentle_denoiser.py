"""A denoiser for recognisers: weak noise as the named denoiser, strong noise at two resolutions and not wholly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from test_blind_wiener import batch, photographs
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.weights import find
from clearsight.restore.learned.gentle_denoiser import GentleDenoiser
from clearsight.restore.learned.unet_denoiser import UNetDenoiser
from clearsight.restore.tiling.tiling import restore_tiled

NAME = "denoise-color-v2"


def noisy(level: float, side: int = 96) -> Tensor:
    clean = batch(photographs(side)[:2])
    return (clean + level * torch.randn(clean.shape, generator=Rng(3).at("noise").torch())).clamp(0, 1)


def plain(x: Tensor, level: float) -> Tensor:
    """Return what the denoiser alone makes of images of this level."""
    return UNetDenoiser(weights=NAME, sigma=level).build()(x)


@torch.no_grad()
def test_weak_noise_is_the_denoisers() -> None:
    x = noisy(0.08)
    assert torch.equal(GentleDenoiser(sigma=0.08).build()(x), plain(x, 0.08))


@torch.no_grad()
def test_strong_noise_is_taken_away_at_two_resolutions_and_not_wholly() -> None:
    x = noisy(0.35)
    fine = plain(x, 0.8 * 0.35)
    coarse = plain(functional.avg_pool2d(x, 2), 0.4 * 0.35)
    enlarged = functional.interpolate(coarse, scale_factor=2, mode="bicubic", align_corners=False).clamp(0, 1)
    wanted = 0.425 * fine + 0.425 * enlarged + 0.15 * x
    assert torch.allclose(GentleDenoiser(sigma=0.35).build()(x), wanted, atol=2e-5)
    # More than the denoiser was trained for is told to neither.
    assert torch.allclose(
        GentleDenoiser(sigma=0.9).build()(x),
        GentleDenoiser(sigma=0.8).build()(x),
        atol=1e-6,
    )


@pytest.mark.slow
@torch.no_grad()
def test_levels_are_found_and_pass_into_one_another() -> None:
    part = GentleDenoiser().build()
    for level in (0.05, 0.12, 0.14, 0.16, 0.3):
        x = noisy(level, 160)
        found = part(x)
        assert part(x[:1])[0] == pytest.approx(found[0], abs=1e-6)
        told = GentleDenoiser(sigma=level).build()(x)
        assert (found - told).abs().mean() < 0.02


@pytest.mark.slow
@torch.no_grad()
def test_tiles_are_the_whole() -> None:
    x = noisy(0.3, 224)
    part = GentleDenoiser().build()
    assert torch.allclose(restore_tiled(part, x, 64), part(x), atol=1e-5)


def test_the_key_is_that_of_the_weights_and_bad_ones_are_refused(tmp_path: Path) -> None:
    first, copy = GentleDenoiser(), tmp_path / "copy"
    source = find(NAME)
    copy.mkdir()
    for file in Path(source.folder).iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert GentleDenoiser(denoiser=str(copy)).fingerprint() == first.fingerprint()
    assert GentleDenoiser(denoiser="denoise-color-v1").fingerprint() != first.fingerprint()
    with pytest.raises(WeightsError, match=r"^gentle_denoiser, denoiser: .*without a noise map"):
        GentleDenoiser(denoiser="deblur-v1").ready()
    with pytest.raises(WeightsError, match=r"^gentle_denoiser, denoiser: "):
        GentleDenoiser(denoiser="no-such-denoiser").ready()
    with pytest.raises(ValidationError, match="write them as 'denoiser'"):
        GentleDenoiser(weights=NAME)
