"""Chains of degradations in two rounds, redrawn at every step.

In the spirit of Real-ESRGAN (Wang et al. 2021: blur, resizing, noise and JPEG, twice) and BSRGAN (Zhang et
al. 2021: in random order), for restorers that keep the size of an image. The order is drawn once a round
for the whole batch, so that each operation runs once; strengths and skipping are drawn for every image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from clearsight.restore.degradations.blur import blur, eight_bits
from clearsight.restore.degradations.jpeg import GRID, jpeg, jpeg_on_device
from clearsight.restore.degradations.kernels import gaussian_kernels
from clearsight.restore.degradations.noise import camera_noise, gaussian_noise, poisson_noise
from clearsight.restore.degradations.resize import DOWN, UP, down_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng

Range = tuple[float, float]
SIDE = 13
"""Side in pixels of the blur kernels: three standard deviations of the widest Gaussian, 2 pixels."""
GREY = 0.2
"""Share of the images with Gaussian noise in which all channels get the same noise."""
COLOUR = 0.5
"""Share of the images with Gaussian noise in which channels are independent; the others lie in between."""


@dataclass(frozen=True)
class Ranges:
    """Strengths and probabilities of a chain.

    Attributes:
        blur: least and greatest standard deviation in pixels of a Gaussian, for each axis; at most 2.
        shrink: least and greatest factor of resizing, at most 1.
        gaussian: least and greatest standard deviation, for values in [0, 1].
        poisson: the same at white; the least is positive.
        camera: the same at mid-grey.
        fine: range of the width in pixels of the grain that all channels share.
        coarse: range of the width in pixels of the colour blotches.
        correlation: range of the correlation of camera noise between channels.
        read_noise: range of the read noise's variance over the shot noise's at white.
        quality: least and greatest JPEG quality.
        chances: of blur, resizing, noise and JPEG, in each round and for each image.
        noises: shares of Gaussian, Poisson and camera noise among noises.
        second: probability that an image goes through the second round.
        codec: ``file`` or ``kornia``.
    """

    blur: Range
    shrink: Range
    gaussian: Range
    poisson: Range
    camera: Range
    fine: Range
    coarse: Range
    correlation: Range
    read_noise: Range
    quality: Range
    chances: tuple[float, float, float, float]
    noises: tuple[float, float, float]
    second: float
    codec: Literal["file", "kornia"]


def second_order(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    """Return degraded images of the same size.

    Args:
        images: (n, c, h, w) in [0, 1].
        ranges: strengths and chances.
        rng: stream of this step.

    Returns:
        (n, c, h, w), multiples of 1/255 in [0, 1].
    """
    out, count = images.clone(), len(images)
    for number in range(2):
        stream = rng.at("round", number)
        draw = stream.numpy()
        alive = draw.random(count) < (1.0 if number == 0 else ranges.second)
        # Choice and order come from this stream, the strengths of each step from a stream of its own.
        chosen = draw.random((4, count)) < np.array(ranges.chances)[:, None]
        for index in draw.permutation(len(STEPS)):
            here = torch.from_numpy(np.flatnonzero(alive & chosen[index]))
            if len(here):
                at = here.to(out.device)
                out[at] = STEPS[index](out[at], ranges, stream.at("step", int(index)))
    return eight_bits(out)


def soften(images: Tensor, span: Range, rng: Rng) -> Tensor:
    """Blur each image with an elliptic Gaussian whose two standard deviations, in pixels, are drawn."""
    draw, count = rng.numpy(), len(images)
    along, across = draw.uniform(*span, (2, count))
    kernels = gaussian_kernels(along, across, draw.uniform(0.0, np.pi, count), SIDE)
    return blur(images, torch.from_numpy(kernels))


def _blur(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    return soften(images, ranges.blur, rng)


def _resize(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    draw, count = rng.numpy(), len(images)
    factors = draw.uniform(*ranges.shrink, count)
    return down_up(images, factors, draw.integers(len(DOWN), size=count), draw.integers(len(UP), size=count))


def _noise(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    kinds = np.searchsorted(np.cumsum(ranges.noises[:2]), rng.numpy().random(len(images)), side="right")
    out = torch.empty_like(images)
    for kind, noise in enumerate((_gaussian, _poisson, _camera)):
        at = torch.from_numpy(np.flatnonzero(kinds == kind)).to(images.device)
        if len(at):
            out[at] = noise(images[at], ranges, rng.at("kind", kind))
    return out


def _gaussian(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    draw, count = rng.numpy(), len(images)
    sigma = draw.uniform(*ranges.gaussian, count)
    which, between = draw.random((2, count))
    correlation = np.where(which < GREY, 1.0, np.where(which < GREY + COLOUR, 0.0, between))
    return gaussian_noise(images, _column(sigma), rng.at("field"), correlation=_column(correlation))


def _poisson(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    level = rng.numpy().uniform(*ranges.poisson, len(images))
    return poisson_noise(images.clamp_min(0.0), _column(level), rng.at("field"))


def _camera(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    draw = rng.numpy()
    spans = (ranges.camera, ranges.fine, ranges.coarse, ranges.correlation, ranges.read_noise)
    level, fine, coarse, correlation, read_noise = (
        _column(draw.uniform(*span, len(images))) for span in spans
    )
    return camera_noise(
        images,
        level,
        rng.at("field"),
        fine=fine,
        coarse=coarse,
        correlation=correlation,
        read_noise=read_noise,
    )


def _jpeg(images: Tensor, ranges: Ranges, rng: Rng) -> Tensor:
    draw, count = rng.numpy(), len(images)
    qualities = draw.uniform(*ranges.quality, count).round().astype(np.int64)
    if ranges.codec == "kornia":
        return jpeg_on_device(images, qualities)
    return jpeg(images, qualities, draw.random(count) < 0.5, draw.integers(GRID, size=(count, 2)))


def _column(numbers: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(numbers.astype(np.float32)).view(-1, 1, 1, 1)


STEPS: tuple[Callable[[Tensor, Ranges, Rng], Tensor], ...] = (_blur, _resize, _noise, _jpeg)
"""In the order of ``Ranges.chances``."""
