from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from kornia.filters import gaussian_blur2d
from safetensors import safe_open

from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.restore.quality.niqe import PARAMETERS, features, fit, niqe

PHOTOS = ("astronaut", "coffee", "chelsea")
STORED = (("astronaut", 5.061), ("coffee", 6.386), ("chelsea", 2.855))


def photo(name: str, height: int = 288, width: int = 384) -> torch.Tensor:
    array = getattr(skimage.data, name)()[:height, :width]
    return torch.from_numpy(array.astype(np.float32) / 255).permute(2, 0, 1)[None]


def noisy(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return (x + sigma / 255 * torch.randn(x.shape, generator=Rng(2).at("niqe").torch())).clamp(0, 1)


@pytest.mark.parametrize("name", PHOTOS)
def test_rises_with_noise(name):
    x = photo(name)
    found = [float(niqe(noisy(x, sigma))) for sigma in (5, 15, 30, 60)]
    assert found == sorted(found)
    assert found[-1] > float(niqe(x)) + 2


@pytest.mark.parametrize("name", PHOTOS)
def test_rises_with_blur(name):
    x = photo(name)
    found = [float(niqe(gaussian_blur2d(x, (25, 25), (s, s), "reflect"))) for s in (1.0, 2.0, 4.0)]
    assert found == sorted(found)
    assert found[0] > float(niqe(x))


@pytest.mark.parametrize(("name", "stored"), STORED)
def test_stored_values(name, stored):
    assert float(niqe(photo(name))) == pytest.approx(stored, rel=1e-3)


def test_what_it_must_not_depend_on():
    x = photo("chelsea")
    value = niqe(x)
    grey = x[:, :1]
    assert torch.allclose(niqe(grey), niqe(grey.repeat(1, 3, 1, 1)), rtol=1e-4)
    assert torch.allclose(niqe(x.flip(3)), value, rtol=1e-3)
    # What fills no patch is left out.
    assert torch.equal(niqe(torch.cat([x, x[..., :50]], dim=3)), value)
    assert torch.allclose(niqe(torch.cat([noisy(x, 20), x]))[1:], value, rtol=1e-5)
    assert value.dtype == torch.float32


def test_brightness_hardly_counts():
    x = 0.2 + 0.6 * photo("coffee")
    assert float(niqe(x + 0.1)) == pytest.approx(float(niqe(x)), rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_images_are_bad_not_broken(value):
    found = niqe(torch.full((1, 3, 96, 200), value))
    assert torch.isfinite(found).all()
    assert float(found) > 10


@pytest.mark.parametrize("size", [(95, 200), (200, 95)])
def test_refuses_less_than_a_patch(size):
    with pytest.raises(ShapeError, match="96x96"):
        niqe(torch.zeros(1, 3, *size))


def test_shapes_of_known_noise_are_found():
    """White Gaussian noise has shape 2 by definition; after normalising it stays near that."""
    x = 0.5 + 0.1 * torch.randn(1, 1, 384, 384, generator=Rng(3).torch())
    found, sharpness = features(x)
    assert found.shape == (1, 16, 36)
    assert sharpness.shape == (1, 16)
    shape = found[0, :, 0]
    assert 2.0 < float(shape.mean()) < 4.0
    assert torch.allclose(sharpness, torch.full_like(sharpness, 0.09), atol=0.02)


@pytest.mark.slow
def test_fit_gives_a_mean_and_a_covariance():
    photos = [photo(name) for name in PHOTOS]
    parameters = fit([view for x in photos for view in (x, x.flip(2), x.transpose(2, 3))] * 2)
    assert parameters["mean"].shape == (36,)
    covariance = parameters["covariance"]
    assert torch.allclose(covariance, covariance.T)
    assert torch.linalg.eigvalsh(covariance).min() > -1e-9
    with pytest.raises(DataError, match="too few"):
        fit([])


def test_parameters_say_what_they_are():
    with safe_open(str(PARAMETERS), "pt") as stored:
        card = stored.metadata()
        assert stored.get_tensor("mean").shape == (36,)
        covariance = stored.get_tensor("covariance")
    assert "BSDS500" in card["fitted_on"]
    assert "not comparable" in card["note"]
    assert torch.linalg.eigvalsh(covariance.double()).min() > 0
