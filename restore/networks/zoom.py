"""The blur of a lens that zooms during the exposure, and its inversion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class ZoomBlur:
    """Mean of an image enlarged about its middle by every factor from 1 to the last, and its adjoint.

    Enlarging is bilinear and separable. Only pixels of the image are read: enlarging brings in none from
    beyond its borders.

    Args:
        factor: the last enlargement, > 1.
        still: share of the exposure during which the lens stood still, in [0, 1).
        copies: number of enlargements that stand for all.
        like: images of the size, type and device that will be blurred, (n, c, h, w).
    """

    def __init__(self, factor: float, still: float, copies: int, like: Tensor) -> None:
        """Prepare what is read for every row and column."""
        self.still = still
        factors = [1.0 + (copy + 0.5) / copies * (factor - 1.0) for copy in range(copies)]
        self.axes = [(_enlarging(each, like, 2), _enlarging(each, like, 3)) for each in factors]
        self.back = [(_reading(each, like, 2), _reading(each, like, 3)) for each in factors]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the blurred images."""
        return self._mean(x, self.axes)

    def adjoint(self, x: Tensor) -> Tensor:
        """Return the images under the adjoint."""
        return self._mean(x, self.back)

    def _mean(self, x: Tensor, axes: list[tuple[_Taps, _Taps]]) -> Tensor:
        total = torch.zeros_like(x)
        for rows, columns in axes:
            total = total + _read(_read(x, rows, 2), columns, 3)
        return (1.0 - self.still) / len(axes) * total + self.still * x


def unzoomed(x: Tensor, blur: ZoomBlur, *, smoothness: float, iterations: int) -> Tensor:
    """Return images from which the blur is taken, by least squares with a penalty on the Laplacian.

    Minimises ``|A u - x|^2 + smoothness |L u|^2`` by conjugate gradients from the blurred images on
    (Hestenes and Stiefel 1952).

    Args:
        x: (n, c, h, w); the images are solved together, as one system.
        blur: the blur A.
        smoothness: weight of the penalty, > 0.
        iterations: steps, >= 1.
    """
    image = x
    residual = blur.adjoint(x) - _normal(x, blur, smoothness)
    direction, size = residual, residual.square().sum()
    for _ in range(iterations):
        moved = _normal(direction, blur, smoothness)
        # An image that is solved already, such as a plain one, has no direction left.
        step = size / (direction * moved).sum().clamp_min(torch.finfo(x.dtype).tiny)
        image = image + step * direction
        residual = residual - step * moved
        before, size = size, residual.square().sum()
        direction = residual + size / before.clamp_min(torch.finfo(x.dtype).tiny) * direction
    return image


def _normal(x: Tensor, blur: ZoomBlur, smoothness: float) -> Tensor:
    return blur.adjoint(blur(x)) + smoothness * _laplacian(_laplacian(x))


def _laplacian(x: Tensor) -> Tensor:
    """Return four times the image less its neighbours; the border repeats itself, so it is symmetric."""
    wide = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    beside = wide[:, :, 1:-1, :-2] + wide[:, :, 1:-1, 2:]
    return 4.0 * x - beside - wide[:, :, :-2, 1:-1] - wide[:, :, 2:, 1:-1]


class _Taps(NamedTuple):
    """What is read along an axis: for every tap the indices (size,), and the weights shaped to multiply."""

    at: list[Tensor]
    weights: list[Tensor]


def _read(x: Tensor, taps: _Taps, axis: int) -> Tensor:
    out = torch.zeros_like(x)
    for at, weight in zip(taps.at, taps.weights, strict=True):
        out = torch.addcmul(out, weight, x.index_select(axis, at))
    return out


def _enlarging(factor: float, like: Tensor, axis: int) -> _Taps:
    """Return the two neighbours that bilinear interpolation reads."""
    at = _pixels(like, axis)
    middle = (len(at) - 1) / 2.0
    places = (at - middle) / factor + middle
    first = places.floor()
    read = [first, first + 1.0]
    return _taps(read, [1.0 - (places - each).abs() for each in read], like, axis)


def _reading(factor: float, like: Tensor, axis: int) -> _Taps:
    """Return which pixels of the enlarged axis read each pixel: those whose place is less than 1 from it."""
    at = _pixels(like, axis)
    middle = (len(at) - 1) / 2.0
    first = ((at - 1.0 - middle) * factor + middle).ceil()
    read = [first + step for step in range(int(2.0 * factor) + 1)]
    return _taps(read, [1.0 - ((each - middle) / factor + middle - at).abs() for each in read], like, axis)


def _pixels(like: Tensor, axis: int) -> Tensor:
    return torch.arange(like.shape[axis], dtype=torch.float64)


def _taps(read: list[Tensor], weights: list[Tensor], like: Tensor, axis: int) -> _Taps:
    """Return the taps; those beyond the image weigh nothing."""
    last = like.shape[axis] - 1
    shape = (-1, 1) if axis == 2 else (-1,)
    inside = [each.clamp(0.0, last) for each in read]
    kept = [
        (weight.clamp_min(0.0) * (place == each)).view(shape).to(like.device, like.dtype)
        for each, place, weight in zip(read, inside, weights, strict=True)
    ]
    return _Taps([place.long().to(like.device) for place in inside], kept)
