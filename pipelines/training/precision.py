"""The number format of training steps, where it is chosen by timing both."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from clearsight.pipelines.systems.precision import Precision

ROUNDS = 3
"""Steps that are timed in each format; the fastest counts, which other work on the machine disturbs least."""
HOPELESS = 2.0
"""Where bf16's fastest step takes this many times as long as fp32's, it is not timed further: a CPU without
units for it computes it in software."""


def faster(step: Callable[[Precision], None]) -> tuple[Precision, dict[Precision, float]]:
    """Time steps in both formats and return the faster one, with the seconds of the fastest step in each.

    Args:
        step: does one step in a format, from the same state each time, and returns when it is done.
    """
    told: dict[Precision, float] = {}
    for turn in range(ROUNDS + 1):
        for precision in ("fp32", "bf16"):
            if turn > 1 and told["bf16"] > HOPELESS * told["fp32"]:
                return "fp32", told
            start = perf_counter()
            step(precision)
            seconds = perf_counter() - start
            # The first step builds kernels and buffers.
            if turn:
                told[precision] = min(seconds, told.get(precision, seconds))
    return min(told, key=lambda each: told[each]), told
