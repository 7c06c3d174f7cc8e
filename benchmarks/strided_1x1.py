"""Where does torch's backward pass of strided 1x1 convolutions, channels last on a CPU, crash or go wrong?

    python benchmarks/strided_1x1.py [--threads 1] [--dtypes float32,bfloat16]

Each case runs in its own process: forward and backward three times, compared with the same computation in
float64, contiguous; sentinel tensors around it must keep their values. Stride 1 is the control. Prints every
case that failed, and the number of each outcome by stride.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence

CHANNELS = (*range(1, 17), 24, 32)
OUTPUTS = 2
"""Outputs of the convolution, in multiples of its channels."""
STRIDES = (1, 2, 3)
IMAGES = ((16, 8), (3, 33), (16, 64))
"""Batch size and side in pixels."""
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
"""Largest difference of a gradient, relative to the largest gradient."""
SENTINELS, VALUE = 64, 7.25
"""Number of sentinel tensors around the computation, and the value that they hold."""
DIFFERS, OVERWRITTEN = 3, 4
Case = tuple[str, int, int, int, int, int, int]


def cases(dtypes: Sequence[str], threads: Sequence[int]) -> Iterator[Case]:
    """Yield (dtype, threads, channels, outputs, stride, batch, side)."""
    for dtype, count, channels, stride, (batch, side) in itertools.product(
        dtypes, threads, CHANNELS, STRIDES, IMAGES
    ):
        yield dtype, count, channels, OUTPUTS * channels, stride, batch, side


def compute(case: Case) -> int:
    """Run one case in this process; return 0, `DIFFERS` or `OVERWRITTEN`."""
    import torch
    from torch import nn

    dtype, threads, channels, outputs, stride, batch, side = case
    kind, last = getattr(torch, dtype), torch.channels_last
    torch.set_num_threads(threads)
    drawn = torch.Generator().manual_seed(channels * 64 + side)
    layer = nn.Conv2d(channels, outputs, 1, stride, bias=False, dtype=kind)
    layer.weight.data.copy_(torch.randn(outputs, channels, 1, 1, generator=drawn))
    values = torch.randn(batch, channels, side, side, generator=drawn).to(kind)
    height = (side - 1) // stride + 1
    slope = torch.randn(batch, outputs, height, height, generator=drawn).to(kind)
    x = values.double().requires_grad_()
    weight = layer.weight.detach().double().requires_grad_()
    nn.functional.conv2d(x, weight, stride=stride).backward(slope.double())
    layer = layer.to(memory_format=last)  # type: ignore[call-overload]
    beside = []
    for _ in range(3):
        beside += [torch.full((values.numel(),), VALUE) for _ in range(SENTINELS // 3)]
        y = values.to(memory_format=last).requires_grad_()
        layer.zero_grad()
        layer(y).backward(slope.to(memory_format=last))
        for found, true in ((y.grad, x.grad), (layer.weight.grad, weight.grad)):
            assert found is not None
            assert true is not None
            if (found.double() - true).abs().max() > TOLERANCE[dtype] * true.abs().max().clamp(min=1e-9):
                return DIFFERS
    return 0 if all(bool((each == VALUE).all()) for each in beside) else OVERWRITTEN


def outcome(case: Case) -> str:
    """Run one case in its own process; return the outcome in words."""
    child = os.fork()
    if child == 0:
        code = 9
        try:
            code = compute(case)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    told = {0: "as contiguous", DIFFERS: "other gradients", OVERWRITTEN: "wrote beside its memory"}
    return told.get(os.WEXITSTATUS(status), "an error")


def main() -> None:
    """Run all cases; print those that failed and the number of each outcome."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--threads", default="1")
    arguments.add_argument("--dtypes", default="float32,bfloat16")
    told = arguments.parse_args()
    # Loaded and warmed up once for all children, except the backward pass: its threads do not survive a fork.
    import torch

    from clearsight.pipelines.inference.bench import here

    torch.set_num_threads(1)
    torch.nn.functional.conv2d(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 1, 1))
    machine = here()
    sets = ", ".join(machine.instructions)
    print(f"torch {torch.__version__}, {platform.machine()}, {machine.processor} ({sets})")
    counts: Counter[tuple[int, str]] = Counter()
    began = time.monotonic()
    for case in cases(told.dtypes.split(","), [int(word) for word in told.threads.split(",")]):
        found = outcome(case)
        counts[case[4], found] += 1
        if found != "as contiguous":
            print(found, *case, flush=True)
    for (stride, found), number in sorted(counts.items()):
        print(f"stride {stride}: {number} {found}")
    print(f"{sum(counts.values())} cases in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
