"""Time of a restorer for an image of 256x256 pixels."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter

import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng

SIDE = 256
"""Side of the image that comes out (a super-resolver gets ``SIDE // scale``)."""
WARM_UP, REPEATS, SECONDS = 2, 7, 0.5
"""Uncounted calls; least number of counted calls; least total seconds of counted calls."""


def milliseconds(
    calls: Mapping[str, Callable[[Tensor], Tensor]], x: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return the median milliseconds of each call; calls take turns, so that a slow moment hits all of them.

    Args:
        calls: name -> function.
        x: name -> its argument.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for name, call in calls.items():
            for _ in range(WARM_UP):
                call(x[name])
        for turn in range(REPEATS * 20):
            # Fast ones go on until they have been timed for long enough.
            left = [n for n, each in times.items() if turn < REPEATS or sum(each) < SECONDS]
            for name in left:
                start = perf_counter()
                calls[name](x[name])
                times[name].append(perf_counter() - start)
    return {name: 1000 * statistics.median(each) for name, each in times.items()}


def sample_image(channels: int, scale: int = 1) -> Tensor:
    """Return noise, (1, channels, SIDE // scale, SIDE // scale) in [0, 1]: no method can take a short cut."""
    side = SIDE // scale
    return torch.rand(1, channels, side, side, generator=Rng(0).at("benchmark", "timing").torch())
