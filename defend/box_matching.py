"""Which detections find a true box, by the rules of COCO's evaluation (Lin et al. 2014).

An independent implementation; the tests compare it with pycocotools and with plain loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Intersections over union from which on a detection finds a box: COCO's ten."""
MOST_PER_CLASS = 100
"""Detections of one class in one image that count, those with the highest scores (COCO's maxDets)."""
WHOLE = 1.0 - 1e-10
"""Overlap from which on two boxes count as equal."""
EVERY = (1 << len(THRESHOLDS)) - 1
"""Bits of all thresholds."""

Floats = NDArray[np.float64]
Bits = NDArray[np.int32]
"""One number a detection, in which bit t belongs to ``THRESHOLDS[t]``."""


def overlaps(found: Floats, true: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """Return the intersection over union of every detection with every true box.

    Args:
        found: (d, 4), x, y, width and height in pixels.
        true: (g, 4).
        crowd: (g,), boxes that stand for many objects: the intersection is divided by the area of the
            detection alone.

    Returns:
        (d, g) in [0, 1].
    """
    sides = [
        np.minimum(found[:, None, k] + found[:, None, k + 2], true[None, :, k] + true[None, :, k + 2])
        - np.maximum(found[:, None, k], true[None, :, k])
        for k in (0, 1)
    ]
    shared = sides[0].clip(min=0) * sides[1].clip(min=0)
    own, theirs = (boxes[:, 2] * boxes[:, 3] for boxes in (found, true))
    union = np.where(crowd[None], own[:, None], own[:, None] + theirs[None] - shared)
    share: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


def match(
    found: Floats,
    scores: NDArray[Any],
    labels: NDArray[Any],
    true: Floats,
    true_labels: NDArray[Any],
    crowd: NDArray[np.bool_],
) -> tuple[Bits, Bits]:
    """Match the detections of one image with its true boxes.

    From the highest score down, each detection takes the box of its class that it overlaps most and that no
    other has taken; where none is left, a crowd that it lies in.

    Args:
        found: (d, 4), x, y, width and height.
        scores: (d,).
        labels: (d,), classes.
        true: (g, 4).
        true_labels: (g,).
        crowd: (g,).

    Returns:
        Where each detection finds a box, and where it does not count (it lies in a crowd, or comes after
        the first `MOST_PER_CLASS` of its class).
    """
    matched, ignored = np.zeros(len(found), np.int32), np.zeros(len(found), np.int32)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        ignored[mine[MOST_PER_CLASS:]] = EVERY
        mine = mine[:MOST_PER_CLASS]
        theirs = np.flatnonzero(true_labels == label)
        if len(theirs):
            share = overlaps(found[mine], true[theirs], crowd[theirs])
            matched[mine], ignored[mine] = _assign(share, crowd[theirs])
    return matched, ignored


def _assign(share: Floats, crowd: NDArray[np.bool_]) -> tuple[Bits, Bits]:
    """Return the bits of detections in falling order of their scores; ``share`` (d, g) are overlaps."""
    needed = np.minimum(THRESHOLDS, WHOLE)[:, None]
    bits = 1 << np.arange(len(THRESHOLDS))
    alone, crowds = share[:, ~crowd], share[:, crowd]
    free = np.ones((len(THRESHOLDS), alone.shape[1]), np.bool_)
    matched, ignored = np.zeros(len(share), np.int32), np.zeros(len(share), np.int32)
    for d, overlap in enumerate(alone):
        good = free & (overlap >= needed)
        hit = good.any(1)
        if hit.any():
            # Of boxes that are overlapped equally the last one is taken, as pycocotools does it.
            best = good.shape[1] - 1 - np.argmax(np.where(good, overlap, -1.0)[:, ::-1], 1)
            free[np.flatnonzero(hit), best[hit]] = False
            matched[d] = bits[hit].sum()
        if crowds.shape[1]:
            ignored[d] = bits[~hit & (crowds[d] >= needed).any(1)].sum()
    return matched, ignored
