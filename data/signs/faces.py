"""Faces of the synthetic road signs: seventeen classes of distinct shape, colour and symbol.

They follow the Vienna convention's shapes and colours loosely. They are no reproduction of any data set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.data.signs.glyphs import Stroke, arc, line, text

RED, WHITE, BLACK = (196, 24, 36), (242, 242, 238), (22, 22, 26)
BLUE, YELLOW, GREY = (24, 82, 168), (246, 196, 22), (120, 122, 124)
OVERSAMPLING = 4
Colour = tuple[int, int, int]


class Canvas:
    """A square of ``side`` pixels with coordinates from -1 to 1, drawn hard-edged and reduced at the end."""

    def __init__(self, side: int) -> None:
        """Start fully transparent."""
        self.side = side * OVERSAMPLING
        self.pixels = np.zeros((self.side, self.side, 4), np.uint8)

    def _place(self, points: Stroke) -> NDArray[np.int32]:
        return np.rint((points + 1) * (self.side - 1) / 2).astype(np.int32)

    def polygon(self, points: Stroke, colour: Colour) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._place(points)], (*colour, 255))

    def disc(self, radius: float, colour: Colour, centre: tuple[float, float] = (0.0, 0.0)) -> None:
        """Fill a disc."""
        self.polygon(arc(centre, (radius, radius), 0, 360, 96), colour)

    def stroke(self, points: Stroke, width: float, colour: Colour) -> None:
        """Draw a line with round ends and joints."""
        thickness = max(1, round(width * self.side / 2))
        cv2.polylines(self.pixels, [self._place(points)], False, (*colour, 255), thickness)

    def arrow_head(self, tip: tuple[float, float], degrees: float, size: float, colour: Colour) -> None:
        """Fill a triangle whose tip points to ``degrees`` (0 is right, 90 is down)."""
        shape = line((0.0, 0.0), (-1.0, -0.8), (-1.0, 0.8)) * size
        self.polygon(_turned(shape, degrees) + np.array(tip), colour)

    def reduced(self) -> NDArray[np.float32]:
        """Return float32 (side, side, 4): RGB multiplied by alpha, and alpha, in [0, 1]."""
        full = self.pixels.astype(np.float32) / 255
        full[..., :3] *= full[..., 3:]
        small = self.side // OVERSAMPLING
        return np.asarray(cv2.resize(full, (small, small), interpolation=cv2.INTER_AREA), np.float32)


def _turned(points: Stroke, degrees: float) -> Stroke:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn, np.float64)


def _corners(count: int, radius: float, start: float) -> Stroke:
    return arc((0.0, 0.0), (radius, radius), start, start + 360, count + 1)[:-1]


def _stop(c: Canvas) -> None:
    c.polygon(_corners(8, 1.0, 22.5), WHITE)
    c.polygon(_corners(8, 0.93, 22.5), RED)
    text("STOP", 0.52, (0.0, 0.0), lambda s: c.stroke(s, 0.11, WHITE), gap=0.22)


def _yield(c: Canvas) -> None:
    middle = np.array([0.0, -0.28])
    c.polygon(_corners(3, 1.14, 90) + middle, RED)
    c.polygon(_corners(3, 0.7, 90) + middle, WHITE)


def _no_entry(c: Canvas) -> None:
    c.disc(0.98, WHITE)
    c.disc(0.93, RED)
    c.polygon(line((-0.68, -0.17), (0.68, -0.17), (0.68, 0.17), (-0.68, 0.17)), WHITE)


def _prohibition(c: Canvas) -> None:
    c.disc(0.98, RED)
    c.disc(0.74, WHITE)


def _speed(number: str) -> Callable[[Canvas], None]:
    def draw(c: Canvas) -> None:
        _prohibition(c)
        text(number, 0.72, (0.0, 0.0), lambda s: c.stroke(s, 0.15, BLACK))

    return draw


def _no_passing(c: Canvas) -> None:
    _prohibition(c)
    for x, colour in ((-0.3, RED), (0.3, BLACK)):
        c.polygon(line((x - 0.22, 0.0), (x + 0.22, 0.0), (x + 0.22, 0.24), (x - 0.22, 0.24)), colour)
        c.polygon(line((x - 0.13, -0.2), (x + 0.13, -0.2), (x + 0.2, 0.02), (x - 0.2, 0.02)), colour)
        for wheel in (-0.13, 0.13):
            c.disc(0.07, colour, (x + wheel, 0.28))


def _priority(c: Canvas) -> None:
    c.polygon(_corners(4, 1.0, 0), WHITE)
    c.polygon(_corners(4, 0.94, 0), BLACK)
    c.polygon(_corners(4, 0.9, 0), WHITE)
    c.polygon(_corners(4, 0.66, 0), YELLOW)


def _square(c: Canvas) -> None:
    for side, colour in ((0.92, WHITE), (0.86, BLUE)):
        c.polygon(line((-side, -side), (side, -side), (side, side), (-side, side)), colour)


def _crossing(c: Canvas) -> None:
    _square(c)
    c.polygon(line((0.0, -0.72), (0.74, 0.66), (-0.74, 0.66)), WHITE)
    c.disc(0.1, BLACK, (0.02, -0.22))
    c.stroke(line((0.0, -0.06), (0.0, 0.22)), 0.14, BLACK)
    c.stroke(line((-0.2, 0.16), (0.0, 0.0), (0.2, 0.12)), 0.08, BLACK)
    c.stroke(line((-0.2, 0.56), (0.0, 0.22), (0.2, 0.56)), 0.1, BLACK)


def _parking(c: Canvas) -> None:
    _square(c)
    text("P", 1.1, (0.0, 0.0), lambda s: c.stroke(s, 0.24, WHITE))


def _mandatory(c: Canvas) -> None:
    c.disc(0.98, WHITE)
    c.disc(0.93, BLUE)


def _turn(side: int) -> Callable[[Canvas], None]:
    def draw(c: Canvas) -> None:
        _mandatory(c)
        c.stroke(line((-0.3 * side, 0.55), (-0.3 * side, -0.1), (0.25 * side, -0.1)), 0.22, WHITE)
        c.arrow_head((0.68 * side, -0.1), 0 if side > 0 else 180, 0.42, WHITE)

    return draw


def _ahead(c: Canvas) -> None:
    _mandatory(c)
    c.stroke(line((0.0, 0.6), (0.0, -0.2)), 0.24, WHITE)
    c.arrow_head((0.0, -0.7), -90, 0.48, WHITE)


def _roundabout(c: Canvas) -> None:
    _mandatory(c)
    for start in (0, 120, 240):
        c.stroke(arc((0.0, 0.0), (0.5, 0.5), start + 20, start + 90), 0.17, WHITE)
        at = np.deg2rad(start + 112)
        tip = (0.5 * float(np.cos(at)), 0.5 * float(np.sin(at)))
        c.arrow_head(tip, start + 112 + 80, 0.3, WHITE)


def _warning(c: Canvas) -> None:
    middle = np.array([0.0, 0.28])
    c.polygon(_corners(3, 1.14, -90) + middle, RED)
    c.polygon(_corners(3, 0.76, -90) + middle, WHITE)


def _danger(c: Canvas) -> None:
    _warning(c)
    c.polygon(line((-0.11, -0.2), (0.11, -0.2), (0.07, 0.32), (-0.07, 0.32)), BLACK)
    c.disc(0.1, BLACK, (0.0, 0.5))


def _crossroads(c: Canvas) -> None:
    _warning(c)
    c.stroke(line((-0.22, 0.02), (0.22, 0.5)), 0.14, BLACK)
    c.stroke(line((0.22, 0.02), (-0.22, 0.5)), 0.14, BLACK)


FACES: dict[str, Callable[[Canvas], None]] = {
    "stop": _stop,
    "yield": _yield,
    "no_entry": _no_entry,
    "speed_30": _speed("30"),
    "speed_50": _speed("50"),
    "speed_80": _speed("80"),
    "no_vehicles": _prohibition,
    "no_passing": _no_passing,
    "priority_road": _priority,
    "pedestrian_crossing": _crossing,
    "parking": _parking,
    "turn_left": _turn(-1),
    "turn_right": _turn(1),
    "straight_ahead": _ahead,
    "roundabout": _roundabout,
    "danger": _danger,
    "crossroads": _crossroads,
}
"""Class name -> how its face is drawn. The order is that of the labels: append, never reorder."""


@lru_cache(maxsize=64)
def face(name: str, side: int) -> NDArray[np.float32]:
    """Return a class's face as float32 (side, side, 4): RGB multiplied by alpha, and alpha, in [0, 1]."""
    canvas = Canvas(side)
    FACES[name](canvas)
    found = canvas.reduced()
    found.flags.writeable = False
    return found
