"""Frost on a window pane, drawn by program: fern-shaped ice crystals over a soft bluish ground.

The overlays of ImageNet-C are five photographs, two of which show the same pane. These four textures stand
in for them: each is a field of dendrites (a curved rachis with tapering barbs and sub-barbs at the 60 degrees
of hexagonal ice) in the tones that the photographs have. They come from one fixed stream, so they are the
same in every process.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    for leaf in _leaves(pane, rng):
        leaf.draw(ice)
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


@dataclass(frozen=True)
class Leaf:
    """One dendrite, ready to be drawn.

    Attributes:
        glow: its light, 0 to 255.
        body: share of the light that fills the outline.
        outline: (n, 2) of the area that it covers.
        bars: (n, 2, 2) segments of its barbs.
        twigs: (n, 2, 2) segments of its sub-barbs; none where the barbs are too short for any.
        spine: (n, 2) of its rachis.

    All places are (x, y) in sixteenths of a pixel.
    """

    glow: int
    body: float
    outline: NDArray[np.int32]
    bars: NDArray[np.int32]
    twigs: NDArray[np.int32]
    spine: NDArray[np.int32]

    def draw(self, ice: NDArray[np.uint8]) -> None:
        """Draw it onto the light of the ice, in place."""
        import cv2

        if self.body > 0:
            cv2.fillPoly(ice, [self.outline], int(self.glow * self.body), cv2.LINE_AA, _SUBPIXEL)
        for lines, share in ((self.bars, 0.85), (self.twigs, 0.7)):
            cv2.polylines(ice, list(lines), False, int(self.glow * share), 1, cv2.LINE_AA, _SUBPIXEL)
        cv2.polylines(ice, [self.spine], False, self.glow, 1, cv2.LINE_AA, _SUBPIXEL)


def _leaves(pane: Pane, rng: np.random.Generator) -> Iterator[Leaf]:
    """Yield the dendrites of a pane. Those of all are computed at once, padded to the longest."""
    import numpy as np

    # Crystals grow in stars: several from one scratch or speck of dust on the glass.
    seeds = rng.uniform(-0.1, 1.1, (pane.leaves // _CRYSTALS_PER_SEED, 2)) * SIDE
    most = max(6, int(pane.length[1] / 3))
    roots, drawn, glows = np.empty((pane.leaves, 2)), np.empty((3, pane.leaves)), []
    along, jitter = np.zeros((2, pane.leaves, most))
    counts = []
    for number in range(pane.leaves):
        roots[number] = seeds[number % len(seeds)] + rng.normal(0, 4, 2)
        length = pane.length[0] + (pane.length[1] - pane.length[0]) * rng.random() ** 2
        drawn[:, number] = length, rng.uniform(0, 2 * np.pi), rng.normal(0, 0.35)
        glows.append(int(rng.uniform(90, 255)))
        counts.append(max(6, int(length / 3)))
        along[number, : counts[-1]] = _shares(counts[-1])
        jitter[number, : counts[-1]] = rng.uniform(0.6, 1.25, counts[-1])
    lengths, headings, bends = drawn[..., None]
    turn = headings + bends * along
    steps = lengths / (np.array(counts)[:, None] - 1)
    spine = roots[:, None] + steps[..., None] * np.cumsum(_direction(turn), axis=1)
    # Barbs are longest in the lower third and die out towards the tip, like those of a feather.
    size = lengths * pane.barb * (1 - along) ** 0.7 * (0.25 + 0.75 * np.minimum(1, along * 4))
    size = size * jitter
    tips = np.stack([_tips(spine, turn, size, side) for side in (1, -1)], 1)
    twigs = _fixed(_twigs(spine, tips, turn, size))
    bars = _fixed(np.stack([np.broadcast_to(spine[:, None], tips.shape), tips], 3))
    fixed = _fixed(spine)
    for number, (glow, count) in enumerate(zip(glows, counts, strict=True)):
        left, right = bars[number, :, :count]
        yield Leaf(
            glow,
            pane.body,
            np.concatenate([left[:, -1], right[::-1, -1]]),
            np.concatenate([left, right]),
            twigs[number, :, :, :count].reshape(-1, 2, 2) if pane.barb > 0.1 else twigs[:0, 0, 0, 0],
            fixed[number, :count],
        )


@cache
def _shares(count: int) -> NDArray[np.float64]:
    """Return ``count`` places from 0 to 1, evenly spaced."""
    import numpy as np

    return np.linspace(0, 1, count)


def _direction(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors, with a last axis of (x, y)."""
    import numpy as np

    return np.stack([np.cos(angle), np.sin(angle)], -1)


def _tips(
    spine: NDArray[np.float64], turn: NDArray[np.float64], size: NDArray[np.float64], side: int
) -> NDArray[np.float64]:
    """Return where barbs end that leave the points of the spine at 60 degrees on one side."""
    import numpy as np

    return spine + size[..., None] * _direction(turn + side * np.pi / 3)


def _twigs(
    spine: NDArray[np.float64],
    tips: NDArray[np.float64],
    turn: NDArray[np.float64],
    size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return sub-barbs that leave each barb, parallel to the spine, at three of its points.

    Returns:
        (leaves, sides, 3, points, 2 ends, 2).
    """
    import numpy as np

    ahead = _direction(turn)
    twigs = []
    for place in (0.35, 0.6, 0.8):
        foot = spine[:, None] * (1 - place) + tips * place
        reach = 0.45 * size * (1 - place)
        twigs.append(np.stack([foot, foot + (reach[..., None] * ahead)[:, None]], -2))
    return np.stack(twigs, 2)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    import numpy as np

    return np.rint(points * (1 << _SUBPIXEL)).astype(np.int32)
