"""Contrast: that of the law it undoes comes back, photographs that have it stay as they are, bit by bit."""

from __future__ import annotations

import pytest
import torch
from skimage import data as photographs

from clearsight.data.contract.errors import ShapeError
from clearsight.restore.classical.auto_contrast import AutoContrast


def photo(name: str, side: int = 192) -> torch.Tensor:
    pixels = torch.from_numpy(getattr(photographs, name)()).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.interpolate(pixels, (side, side), mode="area")


def distance(x: torch.Tensor, y: torch.Tensor) -> float:
    return float((x - y).square().mean().sqrt())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_photographs_stay_as_they_are(name: str) -> None:
    x = photo(name)
    assert torch.equal(AutoContrast().build()(x), x)


@pytest.mark.parametrize("contrast", [0.05, 0.1, 0.2])
def test_a_flat_exposure_is_undone(contrast: float) -> None:
    x = photo("astronaut")
    mean = x.mean(dim=(2, 3), keepdim=True)
    flat = ((contrast * (x - mean) + mean) * 255).round() / 255
    found = AutoContrast().build()(flat)
    assert distance(found, x) < 0.7 * distance(flat, x)
    details, expected = ((y - y.mean()).flatten() for y in (found, x))
    assert float(torch.nn.functional.cosine_similarity(details, expected, dim=0)) > 0.9


def test_a_veil_of_varying_density_loses_its_pattern() -> None:
    x = photo("coffee")
    ramp = torch.linspace(0, 1, x.shape[3]).expand_as(x[:, :1])
    foggy = 0.25 * x + 0.6 * ramp
    found = AutoContrast().build()(foggy)

    def slope(y: torch.Tensor) -> float:
        return float(((y - y.mean()) * (ramp - 0.5)).mean())

    def detail(y: torch.Tensor) -> float:
        return float((y[..., 1:] - y[..., :-1]).std())

    # In relation to the details, which come back, little is left of the ramp.
    assert detail(found) > 2 * detail(foggy)
    assert abs(slope(found)) / detail(found) < 0.5 * abs(slope(foggy)) / detail(foggy)


def test_each_image_is_judged_by_itself() -> None:
    x = photo("astronaut", 96)
    flat = 0.2 * x + 0.4
    part = AutoContrast().build()
    together = part(torch.cat([x, flat]))
    assert torch.equal(together[:1], x)
    torch.testing.assert_close(together[1:], part(flat), rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_of_one_colour_stays_in_range_and_flat(value: float) -> None:
    found = AutoContrast().build()(torch.full((1, 3, 40, 50), value))
    assert torch.isfinite(found).all()
    assert float(found.max() - found.min()) < 1e-3


def test_gains_that_are_told_are_used() -> None:
    x = 0.1 * photo("coffee", 64) + 0.3
    found = AutoContrast(gains=(2.0, 1.0), offset=(0.0,)).build()(x)
    again = AutoContrast(gains=(2.0, 2.0), offset=(-0.3,)).build()(x)
    assert float(found.std()) > float(x.std())
    torch.testing.assert_close(again, 2 * x - 0.3, rtol=0, atol=1e-5)


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="two numbers above 0"):
        AutoContrast(gains=(0.0, 1.0))
    with pytest.raises(ValueError, match="one or three numbers"):
        AutoContrast(offset=(0.0, 0.1))
    with pytest.raises(ShapeError, match="3 channels for images of 1"):
        AutoContrast(offset=(0.0, 0.1, 0.2)).build()(torch.rand(1, 1, 16, 16))
