"""Corruptions that hide pixels: what they hide is what their masks say, and as much as they promise."""

from __future__ import annotations

import numpy as np
import pytest

from clearsight.data.contract.rng import Rng
from clearsight.data.corruptions.dead_pixels import DeadPixels, stuck
from clearsight.data.corruptions.occlusion import Occlusion, covered
from clearsight.data.corruptions.scratches import scratched

GREY = np.full((120, 160, 3), 117, np.uint8)


def stream(draw: int) -> np.random.Generator:
    return Rng(draw).at("holes").numpy()


@pytest.mark.parametrize("share", [0.05, 0.25, 0.7])
def test_rectangles_hide_what_they_should_and_little_more(share):
    for draw in range(10):
        out, mask = covered(GREY, share, stream(draw))
        assert share <= mask.mean() <= share + 0.4**2
        assert (out[~mask] == 117).all()
        # A piece may have the image's own colour in a channel by chance, not in all.
        assert (out != 117).any(axis=2)[mask].mean() > 0.99


def test_dead_pixels_come_as_often_as_they_should():
    out, mask = stuck(GREY, 0.05, 0.1, stream(0))
    assert set(np.unique(out[mask])) == {0, 255}
    assert (out[~mask] == 117).all()
    columns = mask.all(axis=0)
    assert 4 <= columns.sum() <= 32
    assert mask[:, ~columns].mean() == pytest.approx(0.05, abs=0.01)
    lone = out[:, ~columns][mask[:, ~columns]]
    assert (lone == 255).mean() == pytest.approx(0.5, abs=0.15)
    # A column is stuck at one level.
    assert all(len(np.unique(out[:, at])) == 1 for at in np.flatnonzero(columns))


def test_scratches_stay_within_their_masks_and_are_thin():
    for draw in range(10):
        out, mask = scratched(GREY, 5, 1, stream(draw))
        assert (out[~mask] == 117).all()
        assert 0 < mask.mean() < 0.15
        assert out.min() < 30 or out.max() > 225


def test_severities_are_those_of_the_masks():
    image = np.full((224, 224, 3), 117, np.uint8)
    hidden = (Occlusion(severity=2)(image, Rng(0)) != 117).any(axis=2).mean()
    assert 0.24 < hidden < 0.42
    dead = (DeadPixels(severity=3)(image, Rng(0)) != 117).any(axis=2).mean()
    assert 0.05 < dead < 0.1
