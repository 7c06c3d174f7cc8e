from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.restore.ops.noise_level import FLOOR, estimate_sigma, upper_sigma


def photo(name: str, height: int = 192, width: int = 200) -> torch.Tensor:
    array = np.atleast_3d(getattr(skimage.data, name)())[100 : 100 + height, 100 : 100 + width]
    return torch.from_numpy(array.astype(np.float32) / 255).permute(2, 0, 1)[None]


def noisy(x: torch.Tensor, sigma: float, name: str = "") -> torch.Tensor:
    return x + sigma * torch.randn(x.shape, generator=Rng(5).at("noise", name).torch())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "camera"])
@pytest.mark.parametrize("sigma", [15, 25, 50])
@pytest.mark.parametrize("clip", [False, True])
def test_known_noise_on_photographs(name, sigma, clip):
    x = noisy(photo(name), sigma / 255)
    found = float(estimate_sigma(x.clamp(0, 1) if clip else x)) * 255
    assert found == pytest.approx(sigma, abs=0.09 * sigma)


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_clean_photographs_are_nearly_clean(name):
    assert float(estimate_sigma(photo(name))) < 2.5 / 255


def test_texture_is_not_taken_for_noise():
    """The plain median over the whole image finds three times the noise in half an image of gravel."""
    x = photo("gravel", 192, 192)
    x[..., :100] = 0.5
    assert float(estimate_sigma(noisy(x, 5 / 255))) * 255 == pytest.approx(5, abs=0.6)


def test_clipped_areas_are_avoided():
    x = photo("astronaut")
    x[..., :120] = 0.0
    x[..., 120:150] = 1.0
    assert float(estimate_sigma(noisy(x, 0.1).clamp(0, 1))) == pytest.approx(0.1, abs=0.012)


@settings(max_examples=15, deadline=None)
@given(sigma=st.floats(0.01, 0.3), channels=st.sampled_from([1, 3]), low=st.floats(-1, 1))
def test_pure_noise(sigma, channels, low):
    x = noisy(torch.full((1, channels, 128, 140), 0.5), sigma, str(sigma)).clamp(1e-3, 1 - 1e-3)
    clipped = float((x - 0.5).std())
    found = float(estimate_sigma(x))
    # Clipping takes the strongest noise away, from the images and from what can be found in them.
    assert 0.88 * min(clipped, sigma) <= found <= 1.12 * sigma
    assert clipped <= sigma * 1.05
    # A ramp is no noise: four vanishing moments see nothing of it.
    ramp = low * torch.linspace(0, 0.2, 140)
    inside = noisy(torch.full((1, channels, 128, 140), 0.5), 0.02, str(sigma))
    assert torch.allclose(estimate_sigma(inside + ramp), estimate_sigma(inside), atol=2e-4)


def test_monotone_and_scales_with_the_noise():
    x = photo("coffee")
    found = [float(estimate_sigma(noisy(x, s / 255))) for s in (0, 3, 6, 12, 25, 50)]
    assert found == sorted(found)


BOTH = pytest.mark.parametrize(
    "estimate", [estimate_sigma, upper_sigma], ids=lambda estimate: estimate.__name__
)


def test_noise_that_grows_with_the_brightness_is_seen_where_it_is_strong():
    x = torch.linspace(0.05, 0.95, 192).expand(1, 3, 128, 192)
    normal = Rng(0).at("speckle").torch()
    speckled = x * (1 + 0.2 * torch.randn(x.shape, generator=normal))
    # 0.2 times the brightness of the second brightest sixth, 0.725.
    assert float(upper_sigma(speckled)) == pytest.approx(0.145, abs=0.015)
    assert float(estimate_sigma(speckled)) < 0.5 * float(upper_sigma(speckled))


@pytest.mark.parametrize("sigma", [5, 25, 60])
def test_of_white_noise_all_groups_tell_the_same(sigma: int):
    x = noisy(photo("coffee"), sigma / 255)
    assert float(upper_sigma(x)) == pytest.approx(float(estimate_sigma(x)), rel=0.12, abs=1.5 / 255)


@BOTH
def test_each_image_by_itself_and_input_kept(estimate):
    x = torch.cat([noisy(photo("coffee"), s, str(s)) for s in (0.0, 0.05, 0.2)])
    before = x.clone()
    together = estimate(x)
    assert torch.equal(x, before)
    assert together.shape == (3, 1, 1, 1)
    alone = torch.cat([estimate(x[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, rtol=1e-5, atol=1e-6)


@BOTH
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8), (17, 23)])
def test_tiny_and_flat_images(size, estimate):
    assert float(estimate(torch.full((1, 3, *size), 0.3))) == pytest.approx(FLOOR, abs=1e-6)
    found = estimate(noisy(torch.full((2, 1, *size), 0.5), 0.1))
    assert torch.isfinite(found).all()
    assert found.max() < 0.4


@BOTH
@pytest.mark.parametrize("value", [None, 0.0, 1.0])
def test_gradient_is_finite(value, estimate):
    x = noisy(photo("coffee", 40, 50), 0.1) if value is None else torch.full((1, 3, 40, 50), value)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(estimate(x).sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().max() > 0) == (value is None)


@BOTH
def test_refuses_what_is_no_image(estimate):
    with pytest.raises(ShapeError, match="channels"):
        estimate(torch.zeros(1, 2, 16, 16))


class _Estimator(torch.nn.Module):
    def __init__(self, estimate):
        super().__init__()
        self.estimate = estimate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.estimate(x)


@pytest.mark.slow
@BOTH
def test_export_with_dynamic_sizes(estimate):
    import onnxruntime

    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        _Estimator(estimate).eval(),
        (noisy(torch.full((2, 3, 48, 56), 0.5), 0.1),),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
    )
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for n, height, width in ((1, 17, 23), (3, 5, 90), (1, 150, 160)):
        x = noisy(torch.full((n, 3, height, width), 0.5), 0.1)
        (found,) = session.run(None, {"image": x.numpy()})
        assert np.allclose(found, estimate(x).numpy(), rtol=1e-3, atol=1e-5)
