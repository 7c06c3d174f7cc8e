"""The corruptions of the published scripts, written out: the procedure of each, with its constants.

An independent implementation, for comparison only: it is slow, and shares neither code nor constants with
`clearsight.data.corruptions`. The scripts (``make_cifar_c.py``, ``make_tinyimagenet_c.py``,
``make_imagenet_c.py`` of github.com/hendrycks/robustness) take images of one size each. Motion blur,
which they leave to ImageMagick, follows its rule: a one-sided streak of 2 radius + 1 whole-pixel steps with
Gaussian weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import skimage.color
from _script_constants import CONSTANTS, FROST_SCALE
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from clearsight.data.corruptions.frost import PHOTOGRAPHS, photograph

Pixels = NDArray[np.uint8]
TYPES = tuple(CONSTANTS["cifar_c"])


def published(kind: str, table: str, severity: int, image: Pixels, rng: np.random.Generator) -> Pixels:
    """Return an image, uint8 (h, w, 3), as the script for its size corrupts it; fractions are truncated."""
    c = CONSTANTS[table][kind][severity - 1]
    x = image / 255.0
    made: Callable[..., Any] = globals()[f"_{kind}"]
    out = made(x, c, rng, table)
    return np.asarray(np.clip(out, 0, 1) * 255, np.uint8) if out.dtype != np.uint8 else out


def _gaussian_noise(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    return x + rng.normal(0, c, x.shape)


def _shot_noise(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    return rng.poisson(x * c) / c


def _impulse_noise(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    hit, salt = rng.random(x.shape) < c, rng.random(x.shape) < 0.5
    return np.where(hit, salt.astype(float), x)


def _speckle_noise(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    return x + x * rng.normal(0, c, x.shape)


def _smooth(x: Any, sigma: float) -> Any:
    return gaussian_filter(x, (sigma, sigma, 0)[: x.ndim], mode="nearest", truncate=4)


def _gaussian_blur(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    return _smooth(x, c)


def _glass_blur(x: Any, c: tuple[float, int, int], rng: np.random.Generator, table: str) -> Any:
    sigma, reach, walks = c
    rows = np.asarray(_smooth(x, sigma) * 255, np.uint8).tolist()
    side = len(rows)
    for _ in range(walks):
        steps = rng.integers(-reach, reach, (side, side, 2)).tolist()
        for down in range(side - reach, reach, -1):
            for across in range(side - reach, reach, -1):
                dx, dy = steps[down][across]
                # In the scripts' swap both sides are views of one array, so the first value is lost.
                rows[down][across] = rows[down + dy][across + dx]
    return _smooth(np.array(rows) / 255.0, sigma)


def _defocus_blur(x: Any, c: tuple[float, float], rng: np.random.Generator, table: str) -> Any:
    radius, rim = c
    reach, size = (8, (3, 3)) if radius <= 8 else (int(radius), (5, 5))
    places = np.arange(-reach, reach + 1)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float32)
    disk = cv2.GaussianBlur(disk / disk.sum(), size, rim)
    return cv2.filter2D(x, -1, disk)


def _streaked(x: Any, radius: int, sigma: float, angle: float) -> Any:
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    turned = np.deg2rad(angle)
    across = np.ceil(steps * np.cos(turned) - 0.5).astype(int)
    down = np.ceil(steps * np.sin(turned) - 0.5).astype(int)
    height, width = x.shape[:2]
    rows, columns = np.arange(height), np.arange(width)
    out = np.zeros_like(x)
    for weight, dx, dy in zip(weights, across, down, strict=True):
        out += weight * x[np.clip(rows + dy, 0, height - 1)][:, np.clip(columns + dx, 0, width - 1)]
    return out


def _motion_blur(x: Any, c: tuple[int, float], rng: np.random.Generator, table: str) -> Any:
    return _streaked(x, *c, rng.uniform(-45, 45))


def _zoomed(x: Any, factor: float) -> Any:
    side = x.shape[0]
    cut = int(np.ceil(side / factor))
    top = (side - cut) // 2
    large = zoom(x[top : top + cut, top : top + cut], (factor, factor, 1)[: x.ndim], order=1)
    trim = (large.shape[0] - side) // 2
    return large[trim : trim + side, trim : trim + side]


def _zoom_blur(x: Any, c: tuple[float, float], rng: np.random.Generator, table: str) -> Any:
    factors = np.arange(1, *c)
    return (x + sum(_zoomed(x, factor) for factor in factors)) / (len(factors) + 1)


def _plasma(side: int, decay: float, rng: np.random.Generator) -> Any:
    """Return a height map by the diamond-square algorithm on a torus, in [0, 1]."""
    heights, step, rough = np.zeros((side, side)), side, 100.0

    def middle(total: Any) -> Any:
        return total / 4 + rough * rng.uniform(-rough, rough, total.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        pairs = corners + np.roll(corners, -1, 0)
        heights[half::step, half::step] = middle(pairs + np.roll(pairs, -1, 1))
        centres = heights[half::step, half::step]
        heights[::step, half::step] = middle(
            centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        )
        heights[half::step, ::step] = middle(
            centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        )
        step, rough = half, rough / decay
    heights -= heights.min()
    return heights / heights.max()


def _fog(x: Any, c: tuple[float, float], rng: np.random.Generator, table: str) -> Any:
    weight, decay = c
    side, largest = x.shape[0], x.max()
    layer = _plasma(1 << (side - 1).bit_length(), decay, rng)[:side, :side, None]
    return (x + weight * layer) * largest / (largest + weight)


def _frost(x: Any, c: tuple[float, float], rng: np.random.Generator, table: str) -> Any:
    keep, weight = c
    side, scale = x.shape[0], FROST_SCALE[table]
    ice = photograph(PHOTOGRAPHS[int(rng.integers(5))])
    ice = cv2.resize(ice, (0, 0), fx=scale, fy=scale) if scale < 1 else ice
    top, left = (int(rng.integers(length - side)) for length in ice.shape[:2])
    return keep * x + weight * ice[top : top + side, left : left + side] / 255.0


def _snow(x: Any, c: Sequence[float], rng: np.random.Generator, table: str) -> Any:
    mean, spread, enlarge, least, radius, sigma, keep = c
    layer = _zoomed(rng.normal(mean, spread, x.shape[:2]), enlarge)
    layer = np.where(layer < least, 0, layer)
    flakes = np.asarray(np.clip(layer, 0, 1) * 255, np.uint8).astype(float)
    flakes = np.rint(_streaked(flakes, int(radius), sigma, rng.uniform(-135, -45)))[..., None] / 255.0
    grey = cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2GRAY)[..., None]
    white = keep * x + (1 - keep) * np.maximum(x, grey * 1.5 + 0.5)
    return white + flakes + np.rot90(flakes, 2)


def _spatter(x: Any, c: Sequence[float], rng: np.random.Generator, table: str) -> Any:
    mean, spread, sigma, least, strength, mud = c
    liquid = _smooth(rng.normal(mean, spread, x.shape[:2]), sigma)
    liquid = np.where(liquid < least, 0, liquid)
    if mud:
        cover = _smooth((liquid > least).astype(np.float32), strength)
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return x * (1 - cover) + np.array([63, 42, 20]) / 255 * cover
    drops = np.asarray(liquid * 255, np.uint8)
    away = np.asarray(cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5))
    away = np.asarray(cv2.blur(np.minimum(away, 20), (3, 3)), np.uint8)
    lit = cv2.filter2D(cv2.equalizeHist(away), cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    water = drops * cv2.blur(lit, (3, 3)).astype(np.float32)
    largest = water.max()
    water = strength * (water / largest if largest else water)[..., None]
    return x + water * np.array([175, 238, 238]) / 255


def _contrast(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    means = x.mean((0, 1), keepdims=True)
    return (x - means) * c + means


def _brightness(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    hsv = skimage.color.rgb2hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + c, 0, 1)
    return skimage.color.hsv2rgb(hsv)


def _saturate(x: Any, c: tuple[float, float], rng: np.random.Generator, table: str) -> Any:
    hsv = skimage.color.rgb2hsv(x)
    hsv[..., 1] = np.clip(hsv[..., 1] * c[0] + c[1], 0, 1)
    return skimage.color.hsv2rgb(hsv)


def _whole(x: Any) -> Image.Image:
    return Image.fromarray(np.rint(x * 255).astype(np.uint8))


def _jpeg_compression(x: Any, c: int, rng: np.random.Generator, table: str) -> Any:
    file = BytesIO()
    _whole(x).save(file, "JPEG", quality=c)
    return np.asarray(Image.open(file))


def _pixelate(x: Any, c: float, rng: np.random.Generator, table: str) -> Any:
    side = x.shape[0]
    small = _whole(x).resize((int(side * c),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BOX))


def _elastic_transform(x: Any, c: Sequence[float], rng: np.random.Generator, table: str) -> Any:
    side = x.shape[0]
    factor, sigma, reach = ((244 if table == "imagenet_c" else side) * share for share in c)
    middle, arm = np.array([side, side], np.float32) // 2, side // 3
    points = np.array([middle + arm, [middle[0] + arm, middle[1] - arm], middle - arm], np.float32)
    moved = points + rng.uniform(-reach, reach, points.shape).astype(np.float32)
    bent = cv2.warpAffine(
        x.astype(np.float32),
        cv2.getAffineTransform(points, moved),
        (side, side),
        borderMode=cv2.BORDER_REFLECT_101,
    )
    across, down = (
        factor * gaussian_filter(rng.uniform(-1, 1, (side, side)), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    rows, columns = np.mgrid[:side, :side]
    places = [rows + down, columns + across]
    return np.stack([map_coordinates(bent[..., i], places, order=1, mode="reflect") for i in range(3)], -1)
