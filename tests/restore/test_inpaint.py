"""Inpainting finds the holes that were made, leaves the rest as it is, and fills better than a median."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.dead_pixels import stuck
from clearsight.data.corruptions.scratches import scratched
from clearsight.restore.classical.inpaint import Inpaint, holes
from clearsight.restore.classical.median import Median
from clearsight.restore.quality.psnr_ssim import psnr


def ramp() -> np.ndarray:
    """Return a smooth image, uint8 (80, 100, 3), without values near black or white."""
    y, x = np.mgrid[:80, :100]
    return np.stack([80 + y, 90 + x // 2, 200 - x], axis=2).astype(np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("draw", range(3))
def test_dead_pixels_are_found_exactly_on_a_smooth_image(draw):
    given, mask = stuck(ramp(), 0.02, 0.02, Rng(draw).at("dead").numpy())
    np.testing.assert_array_equal(holes(np.asarray(given / 255, np.float32), 5, 0.15, 0.1, rim=False), mask)


@pytest.mark.parametrize("method", ["telea", "navier_stokes"])
def test_holes_in_a_ramp_are_filled_with_the_ramp(method):
    given, mask = stuck(ramp(), 0.02, 0.0, Rng(5).at("dead").numpy())
    out = Inpaint(method=method).build()(tensor(given))[0].permute(1, 2, 0).numpy()
    wanted = ramp().astype(np.float32) / 255
    np.testing.assert_allclose(out[~mask], (given.astype(np.float32) / 255)[~mask], atol=1e-6)
    assert np.abs(out - wanted)[mask].mean() < 0.01


@pytest.mark.parametrize(("made", "rim"), [("dead", False), ("scratches", True)])
def test_better_than_a_median_on_a_photograph(made, rim):
    clean = np.ascontiguousarray(skimage.data.astronaut()[::2, ::2])
    rng = Rng(1).at("photo").numpy()
    given, _ = stuck(clean, 0.03, 0.01, rng) if made == "dead" else scratched(clean, 12, 1, rng)
    ours, median = (psnr(part.build()(tensor(given)), tensor(clean)) for part in (Inpaint(rim=rim), Median()))
    assert float(ours) > float(psnr(tensor(given), tensor(clean))) + 3
    assert float(ours) > float(median) + 1


def test_the_rim_of_a_line_belongs_to_it_where_it_is_asked_for():
    image = np.full((20, 20, 3), 0.5, np.float32)
    image[:, 9], image[:, 10], image[:, 11] = 0.7, 1.0, 0.6
    for rim, columns in ((False, [10]), (True, [9, 10, 11])):
        mask = holes(image, 7, 0.15, 0.1, rim=rim)
        assert np.flatnonzero(mask.all(axis=0)).tolist() == columns
        assert mask.any(axis=0).sum() == len(columns)


def test_objects_and_grey_pixels_are_no_holes():
    image = np.full((20, 20, 3), 0.5, np.float32)
    image[5:12, 5:12] = 1.0
    image[15, 15] = 0.8
    assert not holes(image, 5, 0.15, 0.1, rim=True)[6:11, 6:11].any()
    assert not holes(image, 5, 0.15, 0.1, rim=True)[15, 15]


def test_an_image_without_holes_comes_back_untouched():
    x = tensor(ramp())
    assert torch.equal(Inpaint().build()(x), x)
