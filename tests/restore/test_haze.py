"""Haze: the law turned round exactly where its terms are known, its filters against independent references."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from pydantic import ValidationError

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.haze import Haze, airlight, depth_map
from clearsight.restore.classical.dark_channel import DarkChannel
from clearsight.restore.ops.guided_filter import box_mean, guided_filter
from clearsight.restore.ops.haze import dark_channel
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.tiling.tiling import restore_tiled

LIGHT = torch.tensor([0.9, 0.85, 0.8]).view(1, 3, 1, 1)


def scene(height: int = 60, width: int = 80) -> torch.Tensor:
    """Return colours between 0 and 0.6 with something black in every square of 5 pixels."""
    drawn = torch.rand(1, 3, height, width, generator=Rng(0).at("scene").torch()) * 0.6
    drawn[:, :, ::3, ::3] = 0.0
    return drawn


def hazy(clear: torch.Tensor, transmission: float | torch.Tensor) -> torch.Tensor:
    return clear * transmission + LIGHT * (1 - transmission)


@pytest.mark.parametrize("transmission", [0.9, 0.5, 0.2])
def test_even_haze_of_known_light_is_undone_exactly(transmission):
    clear = scene()
    part = DarkChannel(
        patch=5, omega=1.0, min_transmission=0.05, radius=4, light=tuple(LIGHT.flatten().tolist())
    ).build()
    assert (part(hazy(clear, transmission)) - clear).abs().max() < 1e-4


def test_the_airlight_is_found_in_what_is_farthest():
    clear = scene()
    far = torch.ones(1, 1, 60, 80)
    far[:, :, :20] = 0.0
    given = hazy(clear, 0.6 * far)
    spec = DarkChannel(patch=5, omega=1.0, radius=4)
    assert spec.prepared(given).light == pytest.approx(LIGHT.flatten().tolist(), abs=1e-6)
    # Beyond the reach of the guided filter from the sky's edge the scene is what it was.
    assert (spec.build()(given) - clear)[:, :, 32:].abs().max() < 1e-3


def test_transmission_that_changes_is_followed():
    clear = scene()
    slope = torch.linspace(0.9, 0.4, 80).expand(1, 1, 60, 80)
    given = hazy(clear, slope)
    part = DarkChannel(patch=5, omega=1.0, radius=8, light=tuple(LIGHT.flatten().tolist())).build()
    assert float(psnr(part(given), clear)) > float(psnr(given, clear)) + 15


def test_dark_channel_against_scipy():
    x = scene(23, 31)
    expected = scipy.ndimage.minimum_filter(x[0].amin(0).numpy(), size=7, mode="nearest")
    np.testing.assert_array_equal(dark_channel(x, 7)[0, 0].numpy(), expected)


def test_guided_filter_against_its_definition():
    draw = Rng(1).at("guided").torch()
    guide, x = (torch.rand(1, 1, 9, 11, generator=draw, dtype=torch.float64) for _ in range(2))
    radius, eps = 2, 0.01

    def window(image: torch.Tensor, row: int, column: int) -> np.ndarray:
        rows, columns = (slice(max(0, at - radius), at + radius + 1) for at in (row, column))
        return image[0, 0, rows, columns].numpy()

    fits = np.empty((2, 9, 11))
    for row, column in np.ndindex(9, 11):
        one, two = window(guide, row, column), window(x, row, column)
        slope = ((one * two).mean() - one.mean() * two.mean()) / (one.var() + eps)
        fits[:, row, column] = slope, two.mean() - slope * one.mean()
    expected = [
        [
            window(torch.from_numpy(fits[None, :1]), row, column).mean() * float(guide[0, 0, row, column])
            + window(torch.from_numpy(fits[None, 1:]), row, column).mean()
            for column in range(11)
        ]
        for row in range(9)
    ]
    np.testing.assert_allclose(guided_filter(guide, x, radius=radius, eps=eps)[0, 0].numpy(), expected)


def test_means_near_a_border_take_what_is_there():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    assert float(box_mean(x, 1)[0, 0, 0, 0]) == pytest.approx((0 + 1 + 4 + 5) / 4)
    assert float(box_mean(x, 60)[0, 0, 2, 3]) == pytest.approx(5.5)


def test_tiles_equal_the_whole_because_the_light_is_that_of_the_whole():
    given = hazy(scene(90, 100), torch.linspace(0.9, 0.2, 100).expand(1, 1, 90, 100))
    part = DarkChannel(patch=5, radius=6).build()
    assert (restore_tiled(part, given, 64) - part(given)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("field", "value"), [("patch", 4), ("light", (0.5, 0.5)), ("light", (0.0,)), ("min_transmission", 1.0)]
)
def test_wrong_fields_are_refused(field, value):
    with pytest.raises(ValidationError, match=field):
        DarkChannel(**{field: value})


def test_a_coloured_light_is_refused_for_grey_images():
    with pytest.raises(ShapeError, match="3 channels for images of 1"):
        DarkChannel(light=(0.9, 0.8, 0.7)).build()(torch.rand(1, 1, 20, 20, generator=Rng(0).torch()))


# ------------------------------------------------------------------------------------------- the corruption
def test_haze_keeps_the_law_pixel_by_pixel():
    image = np.ascontiguousarray(skimage.data.astronaut()[100:260, 100:300])
    rng = Rng(3).at("one")
    spec = Haze(severity=4, table="imagenet_c")
    stream = rng.at("haze", 4).numpy()
    clear = np.exp(-spec.BETA["imagenet_c"][3] * depth_map(160, 200, stream))[:, :, None]
    light = 255 * airlight(stream)
    assert np.abs(spec(image, rng) - (image * clear + light * (1 - clear))).max() <= 0.5 + 1e-9


def test_depths_have_mean_one_and_are_smooth():
    for draw in range(20):
        depth = depth_map(64, 96, Rng(draw).at("depth").numpy())
        assert depth.min() > 0
        assert depth.mean() == pytest.approx(1)
        assert np.abs(np.diff(depth, axis=1)).max() < 0.2


def test_half_of_the_scenes_have_a_horizon():
    falls = []
    for draw in range(200):
        rows = depth_map(64, 64, Rng(draw).at("plan").numpy()).mean(axis=1)
        falls.append(rows[:5].mean() / rows[-5:].mean() > 2.0)
    assert 0.35 < np.mean(falls) < 0.7


def test_the_restorer_undoes_a_good_part_of_the_corruption():
    clear = torch.from_numpy(skimage.data.astronaut()[::2, ::2].copy()).permute(2, 0, 1)[None] / 255
    gains = []
    for draw in range(6):
        image = (clear[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        given = (
            torch.from_numpy(Haze(severity=3, table="imagenet_c")(image, Rng(draw))).permute(2, 0, 1)[None]
            / 255
        )
        gains.append(float(psnr(DarkChannel(radius=30).build()(given), clear) - psnr(given, clear)))
    assert np.mean(gains) > 3
