"""The few digits and letters on the synthetic signs, as strokes of our own: no OpenCV font is needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Stroke = NDArray[np.float64]
"""Points (k, 2), x to the right and y down."""
WIDTH = 0.56
"""Width of a glyph whose height is 1."""


def arc(
    centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float, points: int = 24
) -> Stroke:
    """Return points on an ellipse from ``start`` to ``stop`` degrees (0 is right, 90 is down)."""
    angle = np.deg2rad(np.linspace(start, stop, points))
    return np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=1)


def line(*points: tuple[float, float]) -> Stroke:
    """Return a polyline."""
    return np.array(points, np.float64)


_UPPER, _LOWER, _BOWL = (0.28, 0.25), (0.28, 0.73), (0.28, 0.25)
GLYPHS: dict[str, list[Stroke]] = {
    "0": [arc((0.28, 0.5), (0.27, 0.5), 0, 360)],
    "3": [arc(_UPPER, _BOWL, -165, 90), arc(_LOWER, (0.28, 0.27), -90, 165)],
    "5": [line((0.52, 0.0), (0.09, 0.0), (0.05, 0.46)), arc((0.26, 0.69), (0.29, 0.31), -135, 150)],
    "8": [arc(_UPPER, (0.24, 0.25), 0, 360), arc(_LOWER, (0.28, 0.27), 0, 360)],
    "S": [arc(_UPPER, _BOWL, -25, -270), arc(_LOWER, (0.28, 0.25), -90, 155)],
    "T": [line((0.0, 0.0), (0.56, 0.0)), line((0.28, 0.0), (0.28, 1.0))],
    "O": [arc((0.28, 0.5), (0.28, 0.5), 0, 360)],
    "P": [
        line((0.05, 1.0), (0.05, 0.0), (0.28, 0.0)),
        arc((0.28, 0.27), (0.26, 0.27), -90, 90),
        line((0.28, 0.54), (0.05, 0.54)),
    ],
}


def text(
    word: str, height: float, centre: tuple[float, float], draw: Callable[[Stroke], None], gap: float = 0.32
) -> None:
    """Draw a word whose letters are ``height`` tall around ``centre``, stroke by stroke."""
    step = (WIDTH + gap) * height
    left = centre[0] - ((len(word) - 1) * step + WIDTH * height) / 2
    for number, letter in enumerate(word):
        corner = np.array([left + number * step, centre[1] - height / 2])
        for stroke in GLYPHS[letter]:
            draw(corner + stroke * height)
