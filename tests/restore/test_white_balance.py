"""White balance and underwater fusion: casts of known colour taken off, fusion that adds up."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from pydantic import ValidationError

from clearsight.data.contract.rng import Rng
from clearsight.restore.classical.underwater_fusion import UnderwaterFusion
from clearsight.restore.classical.white_balance import WhiteBalance
from clearsight.restore.ops.colour_cast import illuminant
from clearsight.restore.ops.linear_light import from_linear, to_linear
from clearsight.restore.ops.pyramid import blurred, fused
from clearsight.restore.tiling.tiling import restore_tiled

CAST = torch.tensor([0.9, 0.5, 0.3]).view(1, 3, 1, 1)
METHODS = ("grey_world", "shades_of_grey", "max_rgb")


def grey_scene() -> torch.Tensor:
    drawn = torch.rand(1, 1, 40, 50, generator=Rng(0).at("grey").torch()) * 0.6
    return drawn.expand(1, 3, 40, 50)


def photo() -> torch.Tensor:
    array = skimage.data.astronaut()[::4, ::4].astype(np.float32) / 255
    return torch.from_numpy(array).permute(2, 0, 1)[None]


@pytest.mark.parametrize("method", METHODS)
def test_a_grey_scene_in_coloured_light_becomes_grey(method):
    given = from_linear(to_linear(grey_scene()) * CAST)
    out = WhiteBalance(method=method).build()(given)
    assert (out - out.mean(dim=1, keepdim=True)).abs().max() < 1e-5
    # The mean of the estimate is kept: the scene comes back in the light of the cast's mean.
    expected = from_linear(to_linear(grey_scene()) * CAST.mean())
    assert (out - expected).abs().max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_the_colour_of_the_light_makes_no_difference(method):
    light = to_linear(photo()) * 0.25
    part = WhiteBalance(method=method, max_gain=64).build()
    one, other = (part(from_linear(light * cast)) for cast in (1.0, CAST / CAST.mean()))
    # Both are the same scene up to one brightness for all channels.
    ratio = to_linear(one).mean(dim=(2, 3)) / to_linear(other).mean(dim=(2, 3))
    assert (ratio / ratio.mean() - 1).abs().max() < 1e-3


def test_the_minkowski_mean_lies_between_mean_and_maximum():
    light = torch.tensor([0.1, 0.2, 0.6]).view(1, 1, 1, 3)
    assert float(illuminant(light, 1.0)) == pytest.approx(0.3)
    assert float(illuminant(light, 6.0)) == pytest.approx(((0.1**6 + 0.2**6 + 0.6**6) / 3) ** (1 / 6))
    assert float(illuminant(light, float("inf"))) == pytest.approx(0.6)


def test_gains_are_limited_and_may_be_told():
    blue = torch.tensor([0.0, 0.2, 0.8]).view(1, 3, 1, 1).expand(1, 3, 9, 9)
    out = WhiteBalance(method="grey_world", max_gain=2.0).build()(blue)
    assert torch.isfinite(out).all()
    assert float(to_linear(out)[0, 1, 0, 0]) == pytest.approx(
        2 * float(to_linear(blue)[0, 1, 0, 0]), rel=1e-4
    )
    told = WhiteBalance(gains=(1.0, 2.0, 0.5)).build()(blue)
    expected = to_linear(blue) * torch.tensor([1.0, 2.0, 0.5]).view(1, 3, 1, 1)
    assert (to_linear(told) - expected).abs().max() < 1e-5
    with pytest.raises(ValidationError, match="three numbers above 0"):
        WhiteBalance(gains=(1.0, 0.0, 1.0))


def test_tiles_take_the_gains_of_the_whole():
    given = photo() * torch.linspace(0.2, 1.0, 128)
    part = WhiteBalance().build()
    assert (restore_tiled(part, given, 64) - part(given)).abs().max() < 1e-6


# ----------------------------------------------------------------------------------------------- fusion
def test_fusion_of_equal_images_gives_the_image_back():
    image = photo()
    share = torch.rand(1, 1, 128, 128, generator=Rng(1).torch())
    assert (fused([image, image], [share, 1 - share], 5) - image).abs().max() < 1e-5


def test_a_weight_of_one_chooses_an_image():
    one, other = photo(), photo().flip(3)
    ones = torch.ones(1, 1, 128, 128)
    assert (fused([one, other], [ones, 0 * ones], 4) - one).abs().max() < 1e-5


def test_seams_of_weights_vanish():
    ones = torch.ones(1, 1, 128, 128)
    half = (torch.arange(128) < 64).float().expand(1, 1, 128, 128)
    out = fused([0 * ones, ones], [half, 1 - half], 5)
    assert float((out[..., 1:] - out[..., :-1]).abs().max()) < 0.1


def test_underwater_fusion_takes_the_colour_of_water_off():
    clear = photo()
    depth = torch.linspace(0.6, 1.4, 128).view(1, 1, 128, 1)
    kept = torch.exp(-torch.tensor([1.2, 0.35, 0.2]).view(1, 3, 1, 1) * depth)
    veil = torch.tensor([0.05, 0.3, 0.35]).view(1, 3, 1, 1) * (1 - kept)
    given = clear * kept + veil
    out = UnderwaterFusion().build()(given)

    def cast(x: torch.Tensor) -> float:
        means = x.mean(dim=(2, 3))
        return float(means.amax() - means.amin())

    assert cast(out) < 0.35 * cast(given)
    details = [float((x - blurred(x)).std()) for x in (given, out)]
    assert details[1] > 1.2 * details[0]
