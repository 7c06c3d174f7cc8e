"""Sets a synthetic sign into a scene: photograph behind, pole, perspective, leaves, light and defocus.

Every random quantity is in units of the image's side and drawn in a fixed order, so one stream gives the
same scene at any resolution.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.data.media.images import decode
from clearsight.data.signs.faces import GREY, face
from clearsight.data.sources.photos import folder

Image = NDArray[np.float32]
BACKGROUNDS = {
    "train": (
        *("coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png"),
        *("brick.png", "gravel.png", "clock_motion.png"),
    ),
    "test": ("astronaut.png", "camera.png", "grass.png", "coins.png", "ihc.png"),
}
"""The two splits share no photograph."""
OVERSAMPLING = 2


@lru_cache(maxsize=16)
def _photo(name: str) -> NDArray[np.uint8]:
    return decode(folder() / name)


def render(name: str, split: str, pixels: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one image.

    Args:
        name: class, a key of `clearsight.data.signs.faces.FACES`.
        split: ``train`` or ``test``: which photographs may lie behind the sign.
        pixels: side of the image.
        rng: the image's own stream.

    Returns:
        uint8 (pixels, pixels, 3).
    """
    side = pixels * OVERSAMPLING
    scene = _background(BACKGROUNDS[split], side, rng)
    scene = _with_sign(scene, face(name, side), rng)
    if rng.random() < 0.35:
        scene = _leaves(scene, rng) if rng.random() < 0.6 else _branch(scene, rng)
    scene = _lit(scene, rng)
    small = cv2.resize(scene, (pixels, pixels), interpolation=cv2.INTER_AREA)
    blur = rng.uniform(0.0, 0.8) * pixels / 64
    if blur > 0.2:
        small = cv2.GaussianBlur(small, (0, 0), blur)
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)


def _background(names: tuple[str, ...], side: int, rng: np.random.Generator) -> Image:
    photo = _photo(names[rng.integers(len(names))])
    height, width = photo.shape[:2]
    cut = int(min(height, width) * rng.uniform(0.2, 0.75))
    top, left = (int(rng.random() * (full - cut)) for full in (height, width))
    part = photo[top : top + cut, left : left + cut]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    how = cv2.INTER_AREA if cut > side else cv2.INTER_LINEAR
    scene = cv2.resize(part, (side, side), interpolation=how).astype(np.float32) / 255
    tint = rng.uniform(0.8, 1.1, 3).astype(np.float32)  # some of the photographs are grey
    return np.asarray(scene * tint, np.float32)


def _with_sign(scene: Image, template: Image, rng: np.random.Generator) -> Image:
    side = scene.shape[0]
    radius = rng.uniform(0.27, 0.43)
    centre = 0.5 + rng.uniform(-1, 1, 2) * min(0.09, 0.5 - radius)
    angle = np.deg2rad(rng.normal(0, 6))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    stretch = np.array([rng.uniform(0.78, 1.0), 1.0])  # seen from the side a sign is narrower
    moved = (corners * stretch + rng.uniform(-0.1, 0.1, (4, 2))) @ turn.T * radius + centre
    fade, pole = rng.uniform(0.0, 0.22), rng.random() < 0.6
    if pole:
        _draw_pole(scene, centre, radius, rng)
    source = ((corners + 1) / 2 * (template.shape[0] - 1)).astype(np.float32)
    warp = cv2.getPerspectiveTransform(source, (moved * (side - 1)).astype(np.float32))
    sign = cv2.warpPerspective(template, warp, (side, side), flags=cv2.INTER_LINEAR)
    paint, alpha = sign[..., :3], sign[..., 3:]
    paint = paint * (1 - fade) + alpha * fade * 0.6  # weathered paint goes towards grey
    return np.asarray(scene * (1 - alpha) + paint, np.float32)


def _draw_pole(scene: Image, centre: NDArray[np.float64], radius: float, rng: np.random.Generator) -> None:
    side = scene.shape[0]
    half = max(1, round(radius * 0.07 * side))
    x = round(float(centre[0]) * side)
    shade = np.array(GREY, np.float32) / 255 * np.float32(rng.uniform(0.6, 1.3))
    scene[round(float(centre[1]) * side) :, max(0, x - half) : x + half] = shade


def _leaves(scene: Image, rng: np.random.Generator) -> Image:
    side = scene.shape[0]
    middle = 0.5 + 0.33 * _direction(rng)
    for _ in range(int(rng.integers(4, 9))):
        at = np.rint((middle + rng.normal(0, 0.09, 2)) * side).astype(int)
        length = rng.uniform(0.05, 0.1) * side
        axes = (max(1, round(length)), max(1, round(length * rng.uniform(0.35, 0.6))))
        green = np.array([0.18, 0.36, 0.1]) * rng.uniform(0.5, 1.5) + rng.uniform(0, 0.12, 3)
        colour = tuple(map(float, green))
        cv2.ellipse(scene, tuple(map(int, at)), axes, rng.uniform(0, 180), 0, 360, colour, -1)
    return scene


def _branch(scene: Image, rng: np.random.Generator) -> Image:
    side = scene.shape[0]
    across = _direction(rng)
    along = np.array([-across[1], across[0]])
    middle = 0.5 + across * rng.uniform(-0.22, 0.22)
    ends = np.stack([middle - along * 0.9, middle, middle + along * 0.9])
    ends[1] += rng.normal(0, 0.03, 2)
    points = np.rint(ends * side).astype(np.int32)
    colour = tuple(map(float, np.array([0.24, 0.17, 0.11]) * rng.uniform(0.6, 1.6)))
    cv2.polylines(scene, [points], False, colour, max(1, round(rng.uniform(0.03, 0.07) * side)))
    return scene


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _lit(scene: Image, rng: np.random.Generator) -> Image:
    """Multiply by a light field (gain, gradient, shadow, colour cast), then bend by a gamma."""
    side = scene.shape[0]
    line = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    slope = (_direction(rng) * rng.uniform(0.0, 0.45)).astype(np.float32)
    light = 1 + slope[0] * line[None, :] + slope[1] * line[:, None]
    if rng.random() < 0.35:
        normal, offset = _direction(rng).astype(np.float32), np.float32(rng.uniform(-0.25, 0.25))
        distance = normal[0] * line[None, :] + normal[1] * line[:, None] - offset
        edge = np.clip(distance / np.float32(rng.uniform(0.01, 0.08)) + 0.5, 0, 1)
        light *= 1 - edge * np.float32(rng.uniform(0.25, 0.55))
    gain, gamma = rng.uniform(0.6, 1.2), rng.uniform(0.8, 1.3)
    cast = (gain * rng.uniform(0.92, 1.08, 3)).astype(np.float32)
    lit = np.clip(scene * light[..., None] * cast, 0, 1)
    return np.asarray(cv2.pow(lit, gamma), np.float32)
