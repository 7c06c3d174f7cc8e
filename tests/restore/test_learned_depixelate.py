"""Blocks are filled in by a super-resolution network; other images stay as they are, bit by bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from skimage import data as photographs

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.pixelate import Pixelate
from clearsight.restore.blind_deconvolution import found_kernel
from clearsight.restore.classical.depixelate import Depixelate, small_image
from clearsight.restore.learned.learned_depixelate import LearnedDepixelate
from clearsight.restore.ops.tone import luma
from clearsight.restore.quality.psnr_ssim import psnr


def photo(name: str, size: tuple[int, int] = (160, 144)) -> np.ndarray:
    return np.asarray(cv2.resize(getattr(photographs, name)(), size, interpolation=cv2.INTER_AREA))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def test_photographs_stay_as_they_are_and_each_image_is_judged_by_itself() -> None:
    sharp = tensor(photo("coffee"))
    blocks = tensor(Pixelate(severity=4)(photo("astronaut"), Rng(0)))
    part = LearnedDepixelate().build()
    together = part(torch.cat([sharp, blocks]))
    assert torch.equal(together[:1], sharp)
    torch.testing.assert_close(together[1:], part(blocks), rtol=0, atol=1e-5)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_it_is_nearer_to_the_photograph_than_interpolation(severity: int) -> None:
    gains = []
    for name in ("astronaut", "coffee", "chelsea"):
        pixels = photo(name)
        blocks = tensor(Pixelate(severity=severity)(pixels, Rng(0)))
        interpolated, learned = Depixelate().build()(blocks), LearnedDepixelate().build()(blocks)
        gains.append(psnr(learned, tensor(pixels)) - psnr(interpolated, tensor(pixels)))
    assert np.mean(gains) > 0.3


@pytest.mark.slow
def test_its_result_is_not_taken_for_a_blurred_image() -> None:
    """As an interpolated one is: then a restorer for blur undid the gain."""
    taken = {"interpolated": 0, "learned": 0}
    for name in ("astronaut", "coffee", "chelsea"):
        blocks = tensor(Pixelate(severity=5)(photo(name, (224, 224)), Rng(0)))
        for way, part in (("interpolated", Depixelate()), ("learned", LearnedDepixelate())):
            seen = luma(part.build()(blocks))[0, 0].numpy()
            taken[way] += found_kernel(seen) is not None
    assert taken == {"interpolated": 3, "learned": 0}


def test_the_small_image_is_that_of_the_blocks() -> None:
    small = photo("coffee", (40, 36))
    blocks = tensor(small.repeat(3, axis=0).repeat(3, axis=1))
    assert torch.equal(small_image(blocks), tensor(small))


def test_other_networks_and_own_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="does not enlarge"):
        LearnedDepixelate(upscaler="denoise-color-v2").ready()
    with pytest.raises(WeightsError, match="nowhere"):
        LearnedDepixelate(upscaler="nowhere").ready()
    with pytest.raises(ValidationError, match="write them as 'upscaler'"):
        LearnedDepixelate(weights="sr-x4-v1")
