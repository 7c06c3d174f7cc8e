"""Images a second of whole training steps (attack, forward, backward, update), in one process and in several.

Each number of processes runs ``clearsight train`` on the same few batches of a recipe, in turns, with as many
threads in all as there are cores; the fastest turn counts. Run from the repository, on an idle machine:
``python benchmarks/training_processes.py --processes 1 2``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from clearsight.data.cores import usable_cores

WARM_UP = 2
"""Steps that are not counted: the first ones build buffers."""


def seconds(recipe: str, processes: int, batch: int, steps: int) -> float:
    """Return the seconds of so many steps after the warm-up."""
    total = steps + WARM_UP
    changes = [
        f"batch={batch}",
        "epochs=1",
        "minutes=null",
        f"checks={total}",
        f"data.count={batch * total + 20}",
        "validation.fraction=null",
        "validation.per_class=1",
        "test=null",
    ]
    with tempfile.TemporaryDirectory() as out:
        words = ["train", recipe, "--out", out, "--quiet", "--processes", str(processes)]
        command = [sys.executable, "-m", "clearsight.pipelines.cli.app", *words]
        subprocess.run([*command, *(f"--set={each}" for each in changes)], check=True, capture_output=True)
        (curve,) = Path(out).glob("*/curve.json")
        checks = json.loads(curve.read_text())["checks"]
    ends = {check["step"]: check["elapsed"] for check in checks}
    return float(ends[total] - ends[WARM_UP])


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--recipe", default="signs-at")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--turns", type=int, default=2)
    told = parser.parse_args()
    best: dict[int, float] = {}
    for _ in range(told.turns):
        for processes in told.processes:
            took = seconds(told.recipe, processes, told.batch, told.steps)
            best[processes] = min(took, best.get(processes, took))
    print(f"{told.recipe}, batch {told.batch}, {usable_cores()} cores")
    print("| processes | images a second | as many as the first |\n|---|---|---|")
    for processes, took in best.items():
        speed, first = told.batch * told.steps / took, best[told.processes[0]]
        print(f"| {processes} | {speed:.1f} | {first / took:.2f}x |")


if __name__ == "__main__":
    main()
