"""NIQE after Mittal, Soundararajan and Bovik (2013): how unlike a clean photograph an image looks.

The model has the published idea, not the published parameters: these are fitted on the 400 training and test
photographs of BSDS500, and details (grey values, downscaling, patches) are our own. Its figures must not be
compared with published NIQE figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.errors import DataError, ShapeError
from clearsight.data.contract.part import check_images
from clearsight.data.finite import refuse_non_finite
from clearsight.restore.ops.filtering import extend, separable
from clearsight.restore.ops.tone import luma

PARAMETERS = Path(__file__).with_name("niqe_parameters.safetensors")
"""Mean (36,) and covariance (36, 36) of the features of sharp patches; its header names the images."""
PATCH = 96
"""Side in pixels of the patches, halved at the second scale, and the smallest image that is taken."""
RADIUS, SIGMA = 3, 7 / 6
"""Gaussian window of the local mean and deviation, in pixels."""
SHARP = 0.75
"""Patches count in the fit whose mean local deviation is above this share of the image's largest."""
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Neighbours whose products are features: offsets down and right."""
TINY = 1e-6


def niqe(x: Tensor) -> Tensor:
    """Return the distance of each image from photographs; lower is better, clean photographs get 2 to 6.

    Never judge by it alone: it knows nothing of what the image should show.

    Args:
        x: (n, 1 or 3, h, w) in [0, 1], at least 96x96 pixels; what fills no 96x96 patch at the right and
            bottom is ignored. Small images with few patches get larger values: compare equal sizes only.

    Returns:
        (n,), float32.

    Raises:
        ShapeError: other channels, or smaller than 96x96.
        DataError: an image holds values that are not finite.
    """
    mean, covariance = _parameters()
    statistics = features(x)[0]
    ours = statistics.mean(dim=1)
    apart = statistics - ours[:, None]
    spread = apart.transpose(1, 2) @ apart / max(statistics.shape[1] - 1, 1)
    away = (ours - mean.to(x.device))[:, :, None]
    pooled = (spread + covariance.to(x.device)) / 2
    squared: Tensor = (away * torch.linalg.solve(pooled, away)).sum(dim=(1, 2))
    return squared.clamp_min(0.0).sqrt().to(torch.float32)


def fit(images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Return the parameters that describe these photographs, as ``PARAMETERS`` holds them.

    Each image is used as it is and mirrored left to right, which makes the model blind to mirroring.

    Args:
        images: (1, c, h, w) in [0, 1] each, at least 96x96.

    Returns:
        ``mean`` (36,) and ``covariance`` (36, 36), float64.

    Raises:
        DataError: fewer than 72 sharp patches, twice the number of features.
    """
    kept = []
    for image in images:
        # Cut first: both views must have the same patches.
        rows, columns = (size // PATCH * PATCH for size in image.shape[2:])
        whole = image[:, :, :rows, :columns]
        for view in (whole, whole.flip(3)):
            found, sharpness = features(view)
            kept.append(found[sharpness > SHARP * sharpness.amax(dim=1, keepdim=True)])
    patches = torch.cat(kept) if kept else torch.zeros(0, 36)
    if len(patches) < 72:
        raise DataError(
            f"{len(patches)} sharp patches are too few", where="niqe.fit", hint="give more images"
        )
    return {"mean": patches.mean(dim=0), "covariance": patches.T.cov()}


def features(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 36 features (n, patches, 36), float64, and the sharpness (n, patches) of every patch.

    18 features a scale: shape and width of a generalised Gaussian for the normalised pixels, and shape, mean
    and both widths of an asymmetric one for the products of neighbours in four directions.

    Args:
        x: (n, 1 or 3, h, w) in [0, 1], at least 96x96.

    Raises:
        ShapeError: other channels, or smaller than 96x96.
        DataError: an image holds values that are not finite.
    """
    check_images(x, name="niqe", channels=(1, 3))
    if min(x.shape[2:]) < PATCH:
        raise ShapeError(
            f"needs at least {PATCH}x{PATCH} pixels, got {x.shape[2]}x{x.shape[3]}", where="niqe"
        )
    refuse_non_finite(x, "its values are", where="niqe")
    grey = luma(x.double())
    rows, columns = (size // PATCH * PATCH for size in x.shape[2:])
    grey = grey[:, :, :rows, :columns]
    found, sharpness = [], []
    for scale in range(2):
        normalised, deviation = _normalised(grey)
        found.append(_describe(_patches(normalised, PATCH >> scale)))
        sharpness.append(_patches(deviation, PATCH >> scale).mean(dim=(2, 3)))
        grey = functional.avg_pool2d(grey, 2)
    return torch.cat(found, dim=2), sharpness[0]


def _normalised(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels less their local mean over their local deviation, and the deviation."""
    at = torch.arange(-RADIUS, RADIUS + 1, dtype=grey.dtype, device=grey.device)
    taps = torch.exp(-0.5 * (at / SIGMA) ** 2)
    taps = taps / taps.sum()
    wide = extend(grey, RADIUS)
    mean = separable(wide, taps)
    deviation = (separable(wide.square(), taps) - mean.square()).clamp_min(0.0).sqrt()
    return (grey - mean) / (deviation + 1 / 255), deviation


def _patches(plane: Tensor, side: int) -> Tensor:
    """Cut (n, 1, h, w) into (n, patches, side, side)."""
    n, _, height, width = plane.shape
    cut = plane.reshape(n, height // side, side, width // side, side)
    return cut.transpose(2, 3).reshape(n, -1, side, side)


def _describe(patches: Tensor) -> Tensor:
    """Return the 18 features of one scale, (n, patches, 18)."""
    shape, left, right = _asymmetric(patches)
    out = [shape, (left + right) / 2]
    size = patches.shape[2]
    for down, along in SHIFTS:
        first = patches[:, :, : size - down, max(0, -along) : size - max(0, along)]
        second = patches[:, :, down:, max(0, along) : size - max(0, -along)]
        shape, left, right = _asymmetric(first * second)
        mean = (right - left) * torch.exp(torch.lgamma(2 / shape) - torch.lgamma(1 / shape))
        out += [shape, mean, left, right]
    return torch.stack(out, dim=2)


def _asymmetric(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit asymmetric generalised Gaussians by moments (Lasmar, Stitou and Berthoumieu 2009).

    Returns:
        Shape, left width and right width, each (n, patches).
    """
    flat = values.flatten(2)

    def width(chosen: Tensor) -> Tensor:
        return ((flat.square() * chosen).sum(dim=2) / chosen.sum(dim=2).clamp_min(1) + TINY**2).sqrt()

    left, right = width(flat < 0), width(flat > 0)
    ratio = flat.abs().mean(dim=2).square() / flat.square().mean(dim=2).clamp_min(TINY**2)
    g = left / right
    ratio = ratio * (g**3 + 1) * (g + 1) / (g.square() + 1).square()
    shapes, ratios = (table.to(values.device) for table in _shape_table())
    shape = shapes[torch.searchsorted(ratios, ratio.contiguous()).clamp_max(len(shapes) - 1)]
    scale = torch.exp(0.5 * (torch.lgamma(1 / shape) - torch.lgamma(3 / shape)))
    return shape, left * scale, right * scale


@cache
def _shape_table() -> tuple[Tensor, Tensor]:
    """Return shapes from 0.2 to 10 and (E|x|)^2 / E x^2 for each; both increase."""
    # A table created in inference mode could not take part in autograd later.
    with torch.inference_mode(mode=False):
        shapes = torch.linspace(0.2, 10.0, 9801, dtype=torch.float64)
        logs = 2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes)
        return shapes, logs.exp()


@cache
def _parameters() -> tuple[Tensor, Tensor]:
    from safetensors.torch import load_file

    with torch.inference_mode(mode=False):
        stored = load_file(PARAMETERS)
        return stored["mean"].double(), stored["covariance"].double()
