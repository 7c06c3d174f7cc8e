from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_images import write_images

from clearsight.pipelines.config.evaluate import Evaluate

CLASSES = ("blue", "green", "red")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 30 noisy images of three colours, 24x20, in class folders."""
    # Folders are sorted by name, so blue is class 0; the toy's class 0 is the red channel.
    return write_images(tmp_path / "images", 30, (20, 24), CLASSES, digits=3)


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
