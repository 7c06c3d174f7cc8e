"""The sliding DCT against the same written out block by block, and what it gains on photographs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import skimage.data
import torch

from clearsight.data.contract.rng import Rng
from clearsight.restore.classical.bilateral import Bilateral
from clearsight.restore.classical.sliding_dct import SlidingDCT
from clearsight.restore.ops.sliding_dct import sliding_dct
from clearsight.restore.quality.psnr_ssim import psnr

SIGMA = 25 / 255


def noisy(x: torch.Tensor) -> torch.Tensor:
    return x + SIGMA * torch.randn(x.shape, generator=Rng(0).at("noise").torch(), dtype=x.dtype)


def photo(name: str) -> torch.Tensor:
    array = getattr(skimage.data, name)()[100:228, 100:228].astype(np.float64) / 255
    return torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1)[None]


def test_against_blocks_one_by_one():
    x = noisy(photo("camera"))[:, :, :11, :13]
    limit, side = 2.5 * SIGMA, 4
    wide = np.pad(x[0, 0].numpy(), side - 1, mode="symmetric")
    total, weights = np.zeros_like(wide), np.zeros_like(wide)
    for row, column in np.ndindex(wide.shape[0] - side + 1, wide.shape[1] - side + 1):
        place = slice(row, row + side), slice(column, column + side)
        found = scipy.fft.dctn(wide[place], norm="ortho")
        power = np.minimum((found / limit) ** 2, 100) ** 6
        share = power / (1 + power)
        share[0, 0] = 0
        weight = 1 / (1 + share.sum())
        share[0, 0] = 1
        total[place] += weight * scipy.fft.idctn(found * share, norm="ortho")
        weights[place] += weight
    expected = (total / weights)[side - 1 : -side + 1, side - 1 : -side + 1]
    ours = sliding_dct(x, torch.full((1, 1, 1, 1), limit, dtype=torch.float64), side)
    np.testing.assert_allclose(ours[0, 0].numpy(), expected, atol=1e-12)


def test_without_noise_nothing_changes():
    x = photo("chelsea").float()
    assert (SlidingDCT(sigma=0.0).build()(x) - x).abs().max() < 1e-4


def test_an_even_image_keeps_its_mean_and_loses_its_noise():
    flat = torch.full((1, 3, 64, 64), 0.4)
    out = SlidingDCT(sigma=SIGMA).build()(noisy(flat))
    assert float(out.mean()) == pytest.approx(float(noisy(flat).mean()), abs=2e-3)
    assert float(out.std()) < SIGMA / 4


@pytest.mark.parametrize("name", ["camera", "chelsea", "astronaut"])
def test_it_beats_the_bilateral_filter(name):
    clean = photo(name).float()
    given = noisy(clean)
    ours = psnr(SlidingDCT(sigma=SIGMA).build()(given), clean)
    assert float(ours - psnr(given, clean)) > 7
    assert float(ours - psnr(Bilateral(sigma=SIGMA).build()(given), clean)) > 0.5
