"""How long a part takes for one image."""

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
    """Return the median time for one square image, for the card.

    Args:
        model: images (1, channels, side, side) to anything, in eval mode.
        channels: of the image.
        side: of the image in pixels.
        device: where the model is.
    """
    image = torch.linspace(0.0, 1.0, channels * side * side, device=device).view(1, channels, side, side)
    times = [_seconds(model, image) for _ in range(RUNS + 2)][2:]
    return {
        "milliseconds": round(1000.0 * median(times), 1),
        "side": side,
        "runs": RUNS,
        "machine": machine(device),
    }


def _seconds(model: nn.Module, image: Tensor) -> float:
    began = perf_counter()
    model(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return perf_counter() - began
