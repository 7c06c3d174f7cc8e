"""Every table against the published script of its size, written out once more in the benchmarks.

Types without chance agree pixel by pixel; all types in how far they change an image. The table of
docs/corruptions.md has the accuracies (`benchmarks/published_corruptions.py`).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import skimage.data

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng

pytest.importorskip("imagecorruptions", reason="the photographs of frost are not installed")

CERTAIN = {
    "gaussian_blur": 1,
    "defocus_blur": 1,
    "zoom_blur": 1,
    "contrast": 1,
    "brightness": 1,
    "saturate": 1,
    "jpeg_compression": 0,
    "pixelate": 1,
}
"""Type without chance -> largest difference in grey levels."""
SIDES = {"cifar_c": 32, "tiny_imagenet_c": 64, "imagenet_c": 224}
"""Table -> side of the images that its script is for."""
DRAWS = 24


@pytest.fixture(scope="module")
def scripts() -> ModuleType:
    folder = str(Path(__file__).resolve().parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("_scripts")
    finally:
        sys.path.remove(folder)


def photo(side: int) -> np.ndarray:
    return cv2.resize(skimage.data.coffee(), (side, side), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("kind", sorted(CERTAIN))
def test_types_without_chance_agree_with_the_script(scripts: ModuleType, kind: str, table: str) -> None:
    image = photo(SIDES[table])
    for severity in range(1, 6):
        ours = CORRUPTIONS.parse({"kind": kind, "severity": severity, "table": table})(image, Rng(0).at("x"))
        theirs = scripts.published(kind, table, severity, image, Rng(0).at("y").numpy())
        assert np.abs(ours.astype(int) - theirs).max() <= CERTAIN[kind], severity


@pytest.mark.parametrize("table", ["cifar_c", "tiny_imagenet_c"])
@pytest.mark.parametrize(
    "kind",
    [
        *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur", "motion_blur"),
        *("fog", "frost", "snow", "spatter", "elastic_transform"),
    ],
)
@pytest.mark.slow
def test_random_types_change_an_image_as_far_as_the_script(
    scripts: ModuleType, kind: str, table: str
) -> None:
    """The mean change over draws, within four standard errors and 3 %, at every severity."""
    image = photo(SIDES[table])
    fields = {"textures": "imagenet_c"} if kind == "frost" else {}
    for severity in range(1, 6):
        corruption = CORRUPTIONS.parse({"kind": kind, "severity": severity, "table": table, **fields})
        made = [corruption(image, Rng(n)) for n in range(DRAWS)]
        generator = Rng(9).at(kind, table, severity).numpy()
        script = [scripts.published(kind, table, severity, image, generator) for _ in range(DRAWS)]
        ours, theirs = (
            np.array([np.abs(each.astype(float) - image).mean() for each in some]) for some in (made, script)
        )
        error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / DRAWS)
        assert abs(ours.mean() - theirs.mean()) < 4 * error + 0.03 * theirs.mean(), severity
