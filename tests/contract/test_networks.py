"""What every trained network claims beyond what holds of all restorers; a new file is tested by being there."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.restore.base import RestorerSpec
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.ops.resize import resize_bicubic
from clearsight.restore.restorer import Restorer

SMALL = {
    "amplified_unet": {"gain": 1},
    "clarity": {"width": 8, "deep": 1, "hidden": 16},
    "enlighten": {"width": 16},
}
"""Fields that make a kind cheaper to test; the others are tested with their defaults."""
KINDS = tuple(
    kind
    for kind, spec in RESTORERS.kinds.items()
    if spec.__module__.startswith("clearsight.restore.learned.") and spec.fixed_by_weights
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def spec_of(kind: str) -> RestorerSpec:
    fields: dict[str, Any] = SMALL.get(kind, {})
    if "noise_level" in RESTORERS[kind].conditioning:
        # A level of its own for every image is the estimator's business.
        fields = fields | {"sigma": 0.1}
    return RESTORERS.parse({"kind": kind} | fields)


@cache
def shaken(kind: str) -> Restorer:
    """Return the part with random weights: fresh ones add nothing to the image."""
    part = spec_of(kind).build()
    with torch.no_grad():
        for name, tensor in part.network.named_parameters():
            spread = (2.0 / max(tensor[0].numel(), 8)) ** 0.5
            noise = torch.randn(tensor.shape, generator=Rng(2).at("shaken", kind, name).torch())
            tensor.add_(noise * spread * 0.7).requires_grad_(False)
    return part.eval()


def images(kind: str, n: int, height: int, width: int) -> Tensor:
    channels = spec_of(kind).facts.channels[-1]
    noise = torch.rand(n, channels, height, width, generator=Rng(7).at("networks", n, height, width).torch())
    return 0.2 + 0.6 * noise


def test_networks_are_there():
    assert {"dncnn", "ffdnet", "nafnet", "span", "srcnn", "vdsr"} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_weights_are_the_same_every_time(kind, no_global_rng):
    first, second = (spec_of(kind).network().state_dict() for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.isfinite(tensor).all() for tensor in first.values())
    assert spec_of(kind).fixed_by_weights <= set(RESTORERS[kind].model_fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_network_changes_nothing(kind):
    part = spec_of(kind).build()
    x = images(kind, 1, 16, 16)
    with torch.no_grad():
        y = part(x)
    expected = resize_bicubic(x, part.facts.scale).clamp(0, 1)
    inside = (..., slice(8, -8), slice(8, -8)) if part.facts.scale > 1 else ...
    assert (y - expected)[inside].abs().max() < 2e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (17, 5)])
def test_any_size_works_and_images_do_not_mix(kind, size):
    part, x = shaken(kind), images(kind, 3, *size)
    with torch.no_grad():
        whole = part.restored(x)
        again = part.restored(x)
        single = torch.cat([part.restored(image[None]) for image in x])
    assert whole.shape == (3, x.shape[1], size[0] * part.facts.scale, size[1] * part.facts.scale)
    assert torch.isfinite(whole).all()
    assert torch.equal(whole, again)
    assert (whole - single).abs().max() <= 1e-4 * max(1.0, float(whole.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_pixel_gets_a_gradient(kind):
    part, x = shaken(kind), images(kind, 2, 9, 7).requires_grad_()
    restored = part.restored(x)
    weights = torch.rand(restored.shape, generator=Rng(3).at("weights").torch())
    (gradient,) = torch.autograd.grad((restored * weights).sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_receptive_field_is_neither_too_small_nor_twice_too_large(kind):
    side = spec_of(kind).facts.receptive_field
    if side is None:
        pytest.skip("claims no bound")
    part = shaken(kind)
    size = side + 4
    x = images(kind, 1, size, size).requires_grad_()
    at, scale = size // 2, part.facts.scale
    restored = part.restored(x)
    (gradient,) = torch.autograd.grad(restored[0, :, at * scale, at * scale].sum(), x)
    seen = gradient.abs().amax(dim=(0, 1))
    # Fast convolutions leave rounding errors where the true gradient is zero.
    seen = seen > 1e-6 * seen.max()
    for axis in (0, 1):
        places = seen.any(dim=axis).nonzero()
        first, last = int(places.min()), int(places.max())
        assert at - first <= side // 2
        assert last - at <= side // 2
        assert side <= 2 * (last - first + 1) + 1, f"sees {last - first + 1} pixels"
