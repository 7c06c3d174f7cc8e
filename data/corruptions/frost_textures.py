"""Frost on a window pane, drawn by program: fern-shaped ice crystals over a soft bluish ground.

The overlays of ImageNet-C are five photographs, two of which show the same pane. These four textures stand
in for them: each is a field of dendrites (a curved rachis with tapering barbs and sub-barbs at the 60 degrees
of hexagonal ice) in the tones that the photographs have. They come from one fixed stream, so they are the
same in every process.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from clearsight.data.contract.rng import Rng

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 512
"""Height and width of a texture in pixels, at the scale of an image of 224 pixels."""
_SUBPIXEL = 4
"""Bits of sub-pixel position that the line drawing keeps."""


@dataclass(frozen=True)
class Pane:
    """Look of one frosted pane.

    Attributes:
        leaves: number of dendrites.
        length: shortest and longest rachis in pixels.
        barb: length of the longest barb as a share of the rachis.
        body: how much of a dendrite's own light fills its outline (0: open needles, 1: opaque leaf).
        dark: RGB tone of the bare pane.
        light: RGB tone of the brightest ice.
        haze: share of light that the soft ground adds.
    """

    leaves: int
    length: tuple[float, float]
    barb: float
    body: float
    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    haze: float


PANES = (
    Pane(800, (18, 70), 0.30, 0.22, (66, 76, 94), (250, 252, 255), 0.30),
    Pane(800, (30, 130), 0.09, 0.60, (128, 134, 150), (252, 253, 255), 0.75),
    Pane(800, (12, 48), 0.40, 0.34, (72, 90, 108), (238, 244, 252), 0.50),
    Pane(500, (40, 130), 0.14, 0.36, (26, 104, 130), (176, 218, 226), 0.45),
)
STAND_INS = (3, 1, 1, 2, 0)
"""Which of the panes stands in for each of the photographs ``frost1`` to ``frost5``."""
_CRYSTALS_PER_SEED = 4


@cache
def procedural(number: int) -> NDArray[np.uint8]:
    """Return texture ``number`` of `PANES`, uint8 (512, 512, 3) RGB, drawn once a process."""
    texture = _texture(PANES[number], Rng(0).at("frost", "pane", number).numpy())
    texture.setflags(write=False)
    return texture


def _texture(pane: Pane, rng: np.random.Generator) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    ground = _soft(rng, SIDE, octaves=5)
    ice = (pane.haze * 255 * (0.35 + 0.65 * ground)).astype(np.uint8)
    # Crystals grow in stars: several from one scratch or speck of dust on the glass.
    seeds = rng.uniform(-0.1, 1.1, (pane.leaves // _CRYSTALS_PER_SEED, 2)) * SIDE
    for leaf in range(pane.leaves):
        root = seeds[leaf % len(seeds)] + rng.normal(0, 4, 2)
        _draw_leaf(ice, pane, root, rng)
    light = cv2.GaussianBlur(ice, (0, 0), 0.7).astype(np.float32) / 255
    # Slanting light: one flank of every needle shines, the other lies in shadow.
    relief = light[2:, 2:] - light[:-2, :-2]
    light[1:-1, 1:-1] += 0.35 * relief
    light *= 0.55 + 0.9 * _soft(rng, SIDE, octaves=2)
    light += rng.normal(0, 0.02, light.shape).astype(np.float32)
    light = np.clip(light, 0, 1)[..., None]
    dark, bright = np.array(pane.dark, np.float32), np.array(pane.light, np.float32)
    return (dark + (bright - dark) * light + 0.5).astype(np.uint8)


def _soft(rng: np.random.Generator, side: int, *, octaves: int) -> NDArray[np.float32]:
    """Return smooth noise in [0, 1]: octaves of coarse random grids, cubically enlarged."""
    import cv2
    import numpy as np

    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        grid = rng.random((3 << octave, 3 << octave), dtype=np.float32)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _draw_leaf(
    ice: NDArray[np.uint8], pane: Pane, root: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Draw one dendrite that grows from ``root`` onto the light of the ice, in place."""
    import cv2
    import numpy as np

    length = pane.length[0] + (pane.length[1] - pane.length[0]) * rng.random() ** 2
    heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.35)
    glow = int(rng.uniform(90, 255))
    along = np.linspace(0, 1, max(6, int(length / 3)))
    turn = heading + bend * along
    step = length / (len(along) - 1)
    spine = root + step * np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1), 0)
    # Barbs are longest in the lower third and die out towards the tip, like those of a feather.
    size = length * pane.barb * (1 - along) ** 0.7 * (0.25 + 0.75 * np.minimum(1, along * 4))
    size = size * rng.uniform(0.6, 1.25, len(along))
    left, right = _barbs(spine, turn, size, 1), _barbs(spine, turn, size, -1)
    if pane.body > 0:
        outline = np.concatenate([left[:, -1], right[::-1, -1]])
        cv2.fillPoly(ice, [_fixed(outline)], int(glow * pane.body), cv2.LINE_AA, _SUBPIXEL)
    bars = np.concatenate([left, right])
    cv2.polylines(ice, list(_fixed(bars)), False, int(glow * 0.85), 1, cv2.LINE_AA, _SUBPIXEL)
    if pane.barb > 0.1:
        twigs = np.concatenate([_twigs(left, turn, size, 1), _twigs(right, turn, size, -1)])
        cv2.polylines(ice, list(_fixed(twigs)), False, int(glow * 0.7), 1, cv2.LINE_AA, _SUBPIXEL)
    cv2.polylines(ice, [_fixed(spine)], False, glow, 1, cv2.LINE_AA, _SUBPIXEL)


def _barbs(
    spine: NDArray[np.float64], turn: NDArray[np.float64], size: NDArray[np.float64], side: int
) -> NDArray[np.float64]:
    """Return (n, 2, 2) segments that leave the points of the spine at 60 degrees on one side."""
    import numpy as np

    angle = turn + side * np.pi / 3
    tip = spine + size[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.stack([spine, tip], 1)


def _twigs(
    barbs: NDArray[np.float64], turn: NDArray[np.float64], size: NDArray[np.float64], side: int
) -> NDArray[np.float64]:
    """Return sub-barbs that leave each barb, parallel to the spine, at three of its points."""
    import numpy as np

    twigs = []
    for place in (0.35, 0.6, 0.8):
        foot = barbs[:, 0] * (1 - place) + barbs[:, 1] * place
        reach = 0.45 * size * (1 - place)
        tip = foot + reach[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
        twigs.append(np.stack([foot, tip], 1))
    return np.concatenate(twigs)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    import numpy as np

    return np.rint(points * (1 << _SUBPIXEL)).astype(np.int32)
