from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clearsight.data.contract.rng import Rng
from clearsight.pipelines.config.evaluate import Evaluate

CLASSES = ("blue", "green", "red")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 30 noisy images of three colours, 24x20, in class folders."""
    folder = tmp_path / "images"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i in range(30):
        channel = i % 3
        noise = Rng(7).at("image", i).numpy().integers(0, 120, (20, 24, 3))
        noise[:, :, channel] += 25
        # Folders are sorted by name, so blue is class 0; the toy's class 0 is the red channel.
        name = CLASSES[channel]
        Image.fromarray(noise.astype(np.uint8)).save(folder / name / f"{i:03d}.png")
    return folder


@pytest.fixture
def make_config(images: Path) -> Callable[..., Evaluate]:
    def make(**changes: Any) -> Evaluate:
        base: dict[str, Any] = {
            "task": "evaluate",
            "name": "toy",
            "chunk": 8,
            "data": {"kind": "folder", "path": str(images)},
            "parts": {
                "median": {"kind": "median"},
                "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
            },
            "systems": {"plain": ["classify"], "restored": ["median", "classify"]},
            "conditions": {
                "clean": {"kind": "identity"},
                "noise": {"kind": "gaussian_noise", "each": {"severity": [3, 5]}},
            },
            "compare": {"baseline": "plain"},
            "images": 2,
        }
        return Evaluate.model_validate(base | changes)

    return make
