"""Deconvolution with a denoiser as the prior; the general claims of a restorer are in tests/contract."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from clearsight.data.contract.errors import ShapeError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.weights import find, save
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.networks.plug_and_play import PlugAndPlay as Iteration
from clearsight.restore.ops.filtering import convolve
from clearsight.restore.ops.psf import GaussianKernel, MotionKernel
from clearsight.restore.quality.psnr_ssim import psnr

CARD = dict.fromkeys(
    ("id", "data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence"), ""
)


def weights(folder: Path, channels: int, *, seed: int | None = None, **fields) -> str:
    """Save a tiny denoiser: the identity, or with a seed a network that changes its input."""
    spec = RESTORERS.parse({"kind": "unet_denoiser", "channels": channels, "width": 4, "blocks": 1} | fields)
    network: Any = spec.network()
    if seed is not None:
        with torch.no_grad():
            tail = network.tail.weight
            tail.copy_(0.05 * torch.randn(tail.shape, generator=Rng(seed).torch()))
    save(folder, network.state_dict(), CARD | {"spec": spec.model_dump(mode="json", exclude={"weights"})})
    return str(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Denoisers that do nothing, by field."""
    folder = tmp_path_factory.mktemp("denoisers")
    return {"denoiser": weights(folder / "colour", 3), "denoiser_gray": weights(folder / "grey", 1)}


class Recorder(nn.Module):
    """Stands in for a denoiser: remembers what it was asked and returns its input."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[tuple[int, ...], float]] = []

    def restored(self, x, sigma):
        assert sigma.shape == (len(x), 1, 1, 1)
        self.asked.append((tuple(x.shape), float(sigma[0])))
        return x


def scene(channels: int = 1, side: int = 96) -> torch.Tensor:
    """Return flat shapes with sharp edges, (1, channels, side, side)."""
    coarse = torch.rand(1, channels, side // 8, side // 8, generator=Rng(5).torch())
    return 0.1 + 0.8 * coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_steps_fall_from_49_to_the_noise_and_the_canvas_suits_the_denoiser(tiny):
    part: Any = RESTORERS.parse({"kind": "plug_and_play", "sigma": "3/255", "iterations": 5} | tiny).build()
    recorder = Recorder()
    part.network.denoisers["1"] = recorder
    with torch.no_grad():
        part(scene()[:, :, :61, :83])
    levels = [level for _, level in recorder.asked]
    assert levels[0] == pytest.approx(49 / 255)
    assert levels[-1] == pytest.approx(3 / 255)
    steps = np.diff(np.log(levels))
    assert np.allclose(steps, steps[0], atol=1e-5)
    for shape, _ in recorder.asked:
        assert shape[2] % 8 == shape[3] % 8 == 0
        assert shape[2] >= 61 + 2 * 11


def test_one_step_runs_at_the_noise_level(tiny):
    part = RESTORERS.parse({"kind": "plug_and_play", "iterations": 1} | tiny).build()
    assert part.network.levels == pytest.approx([2 / 255])


def test_no_blur_and_a_denoiser_that_does_nothing_give_the_image_back():
    one = np.ones((1, 1))
    denoisers: Any = {1: Recorder()}
    iteration = Iteration(one, (0.1, 0.05), (0.01, 0.1), nn.Identity(), denoisers, rounds=1)
    x = scene()[:, :, :37, :50]
    assert torch.allclose(iteration(x), x, atol=1e-5)


def test_the_true_scene_stays_where_it_is():
    # A denoiser that knows the truth, from a start that knows nothing: then neither border nor wrap moves it.
    kernel = MotionKernel(length=7, angle=30).taps()
    whole, margin, radius = scene(side=100), len(kernel), len(kernel) // 2
    blurred = convolve(whole, torch.from_numpy(kernel).float())
    inner = whole[:, :, radius:-radius, radius:-radius]
    at = slice(margin, margin + inner.shape[2])
    known = slice(at.start - radius, at.stop + radius)
    solved = []

    class Oracle(nn.Module):
        def restored(self, x, sigma):
            solved.append(x[:, :, at, at])
            told = x.clone()
            told[:, :, known, known] = whole
            return told

    class Dark(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    denoisers: Any = {1: Oracle()}
    Iteration(kernel, (0.1, 0.05, 0.02), (0.01,) * 3, Dark(), denoisers, rounds=2)(blurred)
    first, *_, last = ((each - inner).abs().max() for each in solved)
    assert first > 0.1
    assert last < 1e-4


def test_a_blur_is_undone_up_to_the_borders(tiny):
    sharp = scene(channels=3, side=112)
    kernel = GaussianKernel(sigma=1.2)
    blurred = convolve(sharp, torch.from_numpy(kernel.taps()).float())
    inner = sharp[:, :, 4:-4, 4:-4]
    fields = {"kernel": {"kind": "gaussian", "sigma": 1.2}, "sigma": "1/255"}
    with torch.no_grad():
        restored = RESTORERS.parse({"kind": "plug_and_play"} | fields | tiny).build()(blurred)
    assert psnr(restored, inner) > psnr(blurred, inner) + 5
    rim = torch.ones_like(inner, dtype=torch.bool)
    rim[:, :, 8:-8, 8:-8] = False
    error = (restored - inner).square()
    assert error[rim].mean() < 4 * error[~rim].mean()


def test_grey_images_without_a_grey_denoiser_go_through_the_colour_one(tiny, tmp_path):
    colour = weights(tmp_path / "colour", 3, seed=1)
    alone = RESTORERS.parse({"kind": "plug_and_play", "denoiser": colour, "denoiser_gray": None}).build()
    own = RESTORERS.parse(
        {"kind": "plug_and_play", "denoiser": colour} | {"denoiser_gray": tiny["denoiser_gray"]}
    )
    x = scene(side=32)
    with torch.no_grad():
        assert alone(x).shape == x.shape
        assert not torch.allclose(alone(x), own.build()(x), atol=1e-4)


def test_a_grey_denoiser_alone_takes_grey_images_alone(tiny):
    part = RESTORERS.parse({"kind": "plug_and_play"} | tiny | {"denoiser": None}).build()
    assert part(scene(side=16)).shape == (1, 1, 16, 16)
    with pytest.raises(ShapeError, match="takes 1 channels, got 3"):
        part(scene(channels=3, side=16))
    with pytest.raises(ValidationError, match="name a denoiser"):
        RESTORERS.parse({"kind": "plug_and_play", "denoiser": None, "denoiser_gray": None})


def test_fingerprint_follows_the_denoisers_content_and_not_their_place(tiny, tmp_path):
    first = RESTORERS.parse({"kind": "plug_and_play"} | tiny)
    moved = first.model_copy(update={"denoiser": weights(tmp_path / "again", 3)})
    assert moved.fingerprint() == first.fingerprint()
    for field, channels in (("denoiser", 3), ("denoiser_gray", 1)):
        other = first.model_copy(update={field: weights(tmp_path / field, channels, seed=1)})
        assert other.fingerprint() != first.fingerprint()
    assert first.model_copy(update={"denoiser_gray": None}).fingerprint() != first.fingerprint()
    assert first.model_copy(update={"sigma": 0.1}).fingerprint() != first.fingerprint()


@pytest.mark.parametrize("field", ["denoiser", "denoiser_gray"])
def test_a_missing_denoiser_is_named(tiny, field):
    spec = RESTORERS.parse({"kind": "plug_and_play"} | tiny | {field: "no-such-denoiser"})
    for call in (spec.ready, spec.build, spec.fingerprint):
        with pytest.raises(WeightsError, match="no-such-denoiser") as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=f"^plug_and_play, {field}: "):
        spec.ready()


def test_denoisers_that_do_not_fit_are_refused(tiny, tmp_path):
    blind = weights(tmp_path / "blind", 3, blind=True)
    with pytest.raises(WeightsError, match="without a noise map"):
        RESTORERS.parse({"kind": "plug_and_play"} | tiny | {"denoiser": blind}).ready()
    swapped = {"denoiser": tiny["denoiser_gray"], "denoiser_gray": tiny["denoiser_gray"]}
    with pytest.raises(WeightsError, match="channels, not 3"):
        RESTORERS.parse({"kind": "plug_and_play"} | swapped).build()
    with pytest.raises(ValidationError, match="leave 'weights' out"):
        RESTORERS.parse({"kind": "plug_and_play", "weights": tiny["denoiser"]})


@pytest.mark.shared
def test_beats_wiener_and_richardson_lucy_on_photographs(shared_data, tmp_path):
    try:
        find("denoise-gray-v1")
    except WeightsError:
        pytest.skip("the weights denoise-gray-v1 are not there")
    bench = _benchmark()
    every = [case for case in bench.cases(shared_data / "levin32.tar") if case.name in CASES]
    assert len(every) == len(CASES)
    tried: dict[str, dict[str, Any]] = {
        "plug_and_play": {"sigma": 2 / 255, "denoiser": None},
        "wiener": {"sigma": 4 / 255},
        "richardson_lucy": {"iterations": 60},
    }
    mean = {
        kind: np.mean([bench.score(case, {"kind": kind} | fields, tmp_path).psnr for case in every])
        for kind, fields in tried.items()
    }
    assert mean["plug_and_play"] > mean["wiener"] + 0.3
    assert mean["plug_and_play"] > mean["richardson_lucy"] + 0.3


CASES = ("im1_kernel1", "im2_kernel3", "im3_kernel6", "im4_kernel7")


def _benchmark():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "deconvolution.py"
    spec: Any = importlib.util.spec_from_file_location("deconvolution_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
