"""Chooses the constants of the classical denoisers, on training photos only."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import torch
from _contestants import Contestant
from _sets import images

from clearsight.data.contract.rng import Rng
from clearsight.restore.quality.psnr_ssim import psnr

PHOTOS, SIDE = 8, 96
"""Number of photos of the BSDS500 training part, and side in pixels of their centre crops."""
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "non_local_means": {"patch": (1, 2), "search": (6,), "tolerance": (0.6, 0.7, 0.8, 0.9)},
    "total_variation": {"strength": (0.75, 0.9, 1.0, 1.25, 1.5, 1.75), "iterations": (60,)},
    "wavelet": {"basis": ("haar", "daubechies2"), "levels": (3, 4), "strength": (1.25, 1.5, 2.0, 2.5)},
    "bilateral": {"reach": (1.0, 1.5, 2.0, 3.0), "tolerance": (1.5, 2.0, 2.5, 3.0)},
    "median": {"size": (3, 5)},
}
"""Kind -> field -> values that are tried, in all combinations."""


def tune(folder: Path, sigmas: tuple[int, ...] = (15, 25, 50)) -> None:
    """Print the best combination of every kind and its mean PSNR in dB, for each sigma."""
    photos = images(folder, "bsds500_train_test400.tar", count=PHOTOS, ending="train")
    squares = torch.cat([_middle(photo.image) for photo in photos])
    for sigma in sigmas:
        stream = Rng(0).at("benchmark", "tune", sigma).torch()
        noisy = squares + sigma / 255 * torch.randn(squares.shape, generator=stream)
        for kind, grid in GRIDS.items():
            told = {} if kind == "median" else {"sigma": sigma / 255}
            found = []
            for values in product(*grid.values()):
                fields = dict(zip(grid, values, strict=True))
                with torch.inference_mode():
                    out = Contestant(kind, ({"kind": kind, **told, **fields},))(noisy)
                found.append((float(psnr(out, squares).mean()), fields))
            score, fields = max(found, key=lambda pair: pair[0])
            print(f"sigma {sigma}: {score:.2f} dB {kind} {fields}", flush=True)


def _middle(image: torch.Tensor) -> torch.Tensor:
    top, left = ((side - SIDE) // 2 for side in image.shape[2:])
    return image[:, :, top : top + SIDE, left : left + SIDE]
