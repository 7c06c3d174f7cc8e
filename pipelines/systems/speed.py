"""How long a part takes for one picture."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from clearsight.pipelines.systems.device import machine

SIDE = 256
RUNS = 11


@torch.inference_mode()
def speed(model: nn.Module, *, channels: int = 3, side: int = SIDE, device: str = "cpu") -> dict[str, Any]:
    """Return the median time for one square picture, for the card.

    Args:
        model: images (1, channels, side, side) to anything, in eval mode.
        channels: of the picture.
        side: of the picture in pixels.
        device: where the model is.
    """
    picture = torch.linspace(0.0, 1.0, channels * side * side, device=device).view(1, channels, side, side)
    times = [_seconds(model, picture) for _ in range(RUNS + 2)][2:]
    return {
        "milliseconds": round(1000.0 * median(times), 1),
        "side": side,
        "runs": RUNS,
        "machine": machine(device),
    }


def _seconds(model: nn.Module, picture: Tensor) -> float:
    began = perf_counter()
    model(picture)
    if picture.is_cuda:
        torch.cuda.synchronize(picture.device)
    return perf_counter() - began
