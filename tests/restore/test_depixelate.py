"""The grid of pixelated images is found and interpolated; other images stay as they are, bit by bit."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data as photographs

from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.pixelate import Pixelate
from clearsight.pipelines.api.models import export
from clearsight.pipelines.systems.graph import chain
from clearsight.restore.classical.depixelate import Depixelate
from clearsight.restore.classical.impulse_filter import ImpulseFilter
from clearsight.restore.quality.psnr_ssim import psnr


def photo(name: str, size: tuple[int, int] = (160, 144)) -> np.ndarray:
    return np.asarray(cv2.resize(getattr(photographs, name)(), size, interpolation=cv2.INTER_AREA))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_photographs_stay_as_they_are(name: str) -> None:
    x = tensor(photo(name))
    assert torch.equal(Depixelate().build()(x), x)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_common_corruption_is_smoothed(severity: int) -> None:
    pixels = photo("astronaut")
    blocks = tensor(Pixelate(severity=severity)(pixels, Rng(0)))
    assert psnr(Depixelate().build()(blocks), tensor(pixels)) > psnr(blocks, tensor(pixels)) + 0.7


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_whole_blocks_give_what_cubic_interpolation_of_the_small_image_gives(factor: int) -> None:
    small = photo("coffee", (40, 36))
    blocks = tensor(small.repeat(factor, axis=0).repeat(factor, axis=1))
    found = Depixelate().build()(blocks)
    from PIL import Image

    # Pillow's bicubic filter has the same kernel (a = -0.5); it rounds to 256 levels twice.
    expected = Image.fromarray(small).resize((40 * factor, 36 * factor), Image.Resampling.BICUBIC)
    inside = (..., slice(2 * factor, -2 * factor), slice(2 * factor, -2 * factor))
    torch.testing.assert_close(found[inside], tensor(np.array(expected))[inside], rtol=0, atol=2.5 / 255)


def test_rows_that_repeat_at_the_borders_or_here_and_there_change_nothing() -> None:
    letterbox = tensor(photo("astronaut")).clone()
    letterbox[..., :30, :], letterbox[..., -30:, :] = 0.0, 0.0
    letterbox[..., :30], letterbox[..., -30:] = 0.0, 0.0
    assert torch.equal(Depixelate().build()(letterbox), letterbox)


def test_an_image_of_one_colour_and_stripes_stay() -> None:
    flat = torch.full((1, 3, 64, 64), 0.4)
    stripes = tensor(photo("coffee"))[..., :1].expand(-1, -1, -1, 144)
    for x in (flat, stripes):
        assert torch.equal(Depixelate().build()(x), x)


def test_rows_alone_are_not_pixelated() -> None:
    """An interlaced film with doubled lines."""
    x = tensor(photo("astronaut").repeat(2, axis=0))
    assert torch.equal(Depixelate().build()(x), x)


def test_each_image_is_judged_by_itself() -> None:
    x = tensor(photo("astronaut"))
    blocks = tensor(Pixelate(severity=5)(photo("astronaut"), Rng(0)))
    part = Depixelate().build()
    together = part(torch.cat([x, blocks]))
    assert torch.equal(together[:1], x)
    assert torch.equal(together[1:], part(blocks))


def test_fine_grids_can_be_left_alone() -> None:
    blocks = tensor(photo("coffee", (40, 36)).repeat(2, axis=0).repeat(2, axis=1))
    assert torch.equal(Depixelate(finest=0.4).build()(blocks), blocks)


@pytest.mark.slow
def test_the_exported_file_finds_impulses_and_blocks_too(tmp_path: Path) -> None:
    """Contracts export ordinary images, in which there is nothing to find."""
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = chain(ImpulseFilter(), Depixelate())
    clean = tensor(photo("astronaut"))
    drawn = torch.rand(clean.shape, generator=torch.Generator().manual_seed(0))
    salted = torch.where(drawn < 0.1, 0.0, torch.where(drawn > 0.9, 1.0, clean))
    blocks = tensor(photo("coffee", (40, 36)).repeat(4, axis=0).repeat(4, axis=1))
    x = torch.cat([salted, blocks, clean])
    file = export(graph, tmp_path).path
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    # Where hardly a value is left around a hole, it is a quotient of small sums: half a grey level.
    torch.testing.assert_close(found, graph.build()(x), rtol=0, atol=0.5 / 255)
    assert [torch.equal(a, b) for a, b in zip(found, x, strict=True)] == [False, False, True]
