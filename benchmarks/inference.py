"""Milliseconds an image of the default denoiser and a classifier: torch, torch.compile, onnxruntime, OpenCV.

All compute the same system on the same images with the same number of threads, in one process, and take
turns, so that a slow moment hits all of them. Before anything is timed their outputs are compared: an fp32
contestant with other predictions is named and not timed. Ratios are of medians, with a 95 % bootstrap
interval over turns; eager torch is the faster of its two memory layouts. Run from the repository on a machine
that does nothing else: ``python benchmarks/inference.py --threads 2 --out inference.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import ClearsightError
from clearsight.data.contract.rng import Rng
from clearsight.data.home import replace_file
from clearsight.pipelines.inference.bench import Speed, here, speed, take_turns

if TYPE_CHECKING:
    from _inference import Ready, Subject
    from torch import Tensor

BATCHES = {1: 10**9, 8: 64}
"""Images per call -> largest side, in pixels, that this batch is measured at."""
LOOK = 8
"""Images whose outputs are compared at each size."""
TOLERANCE = 1e-3
"""Difference of an fp32 output, relative to its largest value, above which a contestant is wrong."""
PAUSE = 0.01
"""Seconds of rest before each turn, so that spinning threads of the previous contestant go to sleep."""
MOST = 400
"""Turns at most."""


@dataclass(frozen=True)
class Agreement:
    """How far outputs are from those of eager torch.

    Attributes:
        same: images with the same predicted class; None where there are no classes.
        of: images compared.
        off: largest difference, relative to the largest value.
    """

    same: int | None
    of: int
    off: float

    @property
    def wrong(self) -> bool:
        """Return True where the difference cannot be rounding."""
        return self.off > TOLERANCE or (self.same is not None and self.same < self.of)


@dataclass(frozen=True)
class Row:
    """One contestant on one shape; ``over_eager`` and ``over_fp32`` are ratios of medians."""

    system: str
    side: int
    batch: int
    contestant: str
    agreement: Agreement
    speed: Speed
    over_fp32: float | None


def agreement(found: NDArray[Any], expected: NDArray[Any]) -> Agreement:
    """Compare outputs of a contestant, logits (n, classes) or images (n, c, h, w), with the expected ones."""
    off = float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
    same = int((found.argmax(1) == expected.argmax(1)).sum()) if expected.ndim == 2 else None
    return Agreement(same, len(expected), off)


def compare(ready: Mapping[str, Ready], images: Tensor, batch: int) -> dict[str, Agreement]:
    """Return how far the outputs of each contestant are from those of the first."""
    outputs = {
        name: np.concatenate([each.call(part)().copy() for part in images.split(batch)])
        for name, each in ready.items()
    }
    expected = next(iter(outputs.values()))
    return {name: agreement(found, expected) for name, found in outputs.items()}


def rows(
    system: str,
    side: int,
    batch: int,
    times: Mapping[str, NDArray[np.float64]],
    agreements: Mapping[str, Agreement],
    eager: Sequence[str],
    fp32: str,
) -> list[Row]:
    """Return the figures of one shape; the faster of ``eager`` is what ratios are relative to."""
    medians = {name: float(np.median(each)) for name, each in times.items()}
    base = times[min((name for name in eager if name in times), key=lambda name: medians[name])]
    rng = Rng(0).at("benchmark", "inference", side, batch)
    return [
        Row(
            system,
            side,
            batch,
            name,
            agreements[name],
            speed(each, batch, base, rng=rng),
            medians[fp32] / medians[name] if fp32 in medians else None,
        )
        for name, each in times.items()
    ]


def measure(
    subject: Subject, side: int, batch: int, options: argparse.Namespace, note: Callable[[str], None]
) -> list[Row]:
    """Compare and time all contestants on one shape."""
    from _inference import EAGER, FP32, INT8, LAST, contestants, noisy_images

    channels = subject.made.input.channels
    ready = contestants(subject, (batch, channels, side, side), options.threads, note)
    images = noisy_images(subject.images, channels, side, LOOK)
    agreements = compare(ready, images, batch)
    for name, each in agreements.items():
        if each.wrong and name != INT8:
            note(f"{name} at {side}x{side}, batch {batch}, gives other results: {each}; it is not timed")
            del ready[name]
    calls = {name: each.call(images[:batch]) for name, each in ready.items()}
    times = take_turns(
        calls,
        seconds=options.seconds,
        least=options.turns,
        most=max(MOST, options.turns),
        pause=PAUSE,
        lead=1,
    )
    return rows(subject.name, side, batch, times, agreements, (EAGER, LAST), FP32)


def markdown(found: Sequence[Row]) -> str:
    """Return the table of one system."""
    lines = [
        "| image | batch | | p50 ms | p95 ms | images/s | of eager [95 %] | of fp32 | same class | off |",
        "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found:
        told, agrees = row.speed, row.agreement
        ratio = ""
        if told.ratio is not None and told.interval is not None:
            ratio = f"{told.ratio:.2f}x [{told.interval[0]:.2f}, {told.interval[1]:.2f}]"
        cells = [
            f"{row.side}x{row.side}",
            str(row.batch),
            row.contestant,
            f"{told.p50:.2f}",
            f"{told.p95:.2f}",
            f"{told.rate:.1f}",
            ratio,
            "" if row.over_fp32 is None else f"{row.over_fp32:.2f}x",
            "" if agrees.same is None else f"{agrees.same} of {agrees.of}",
            f"{agrees.off:.0e}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    made.add_argument("--sizes", default="32,64,224,512", help="sides of the images")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--turns", type=int, default=15, help="at least")
    made.add_argument("--seconds", type=float, default=1.0, help="of turns, for each contestant")
    made.add_argument("--systems", default="chain,denoiser,classifier")
    made.add_argument("--denoiser", default="denoise-color-v2")
    made.add_argument("--classifier", default="signs-standard-v1")
    made.add_argument("--out", type=Path, help="JSON file for all figures")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    options = parser().parse_args(arguments)
    # Before torch is imported, for its thread pool reads it at import.
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    machine = here()
    import torch

    torch.set_num_threads(options.threads)
    print(f"# Inference\n\n{machine.processor} ({', '.join(machine.instructions)}), {machine.system}.")
    print(f"torch {torch.__version__}, {', '.join(f'{k} {v}' for k, v in machine.versions.items())}.")
    print(f"Threads {options.threads}, load at the start {machine.load}. {machine.warning}\n", flush=True)
    try:
        found = _all(options)
    except ClearsightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.out is not None:
        told = {"machine": asdict(machine), "torch": torch.__version__, "threads": options.threads}
        figures = told | {"rows": [asdict(row) for row in found]}
        replace_file(options.out, (json.dumps(figures, indent=1) + "\n").encode())
    return 0


def _all(options: argparse.Namespace) -> list[Row]:
    from _inference import prepare, source_of, subjects

    source, remark = source_of(options.classifier)
    if remark:
        print(f"Images: {remark}.\n")
    known = subjects(options.denoiser, options.classifier)
    found: list[Row] = []
    for word in options.systems.split(","):
        name, graph = known[word]
        print(f"## {name}\n", flush=True)
        notes: dict[str, None] = {}
        with tempfile.TemporaryDirectory() as scratch:
            subject = prepare(name, graph, source, Path(scratch))
            part = []
            for batch, most in BATCHES.items():
                for side in (int(each) for each in options.sizes.split(",")):
                    if side <= most:
                        print(f"{name}: {side}x{side}, batch {batch}", file=sys.stderr, flush=True)
                        part += measure(subject, side, batch, options, notes.setdefault)
        print(markdown(part))
        for each in notes:
            print(f"- {each}")
        print(flush=True)
        found += part
    return found


if __name__ == "__main__":
    sys.exit(main())
