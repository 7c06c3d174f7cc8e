"""Compares the time of a run between two checkouts: user CPU seconds, in pairs, one checkout after the other.

    python benchmarks/run_speed.py ../before . [--pairs 6] [--images 128]

Each pair starts one process per checkout; the checkouts take turns at going first. A process repeats the run
three times: the first, which loads libraries, is not counted, and the faster of the others is. User CPU
seconds, for other work on the machine affects wall-clock time more. Both must give the same bytes of results.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

CODE = """
import hashlib, os, sys, tempfile, yaml
from pathlib import Path
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
told = yaml.safe_load(Path("pipelines/recipes/quickstart.yaml").read_text())
told["data"]["count"] = int(sys.argv[1])
told["conditions"] = {name: told["conditions"][name] for name in ("clean", "noise", "fog")}
config = Evaluate.model_validate(told)
spent = []
for _ in range(3):
    with tempfile.TemporaryDirectory() as root:
        before = os.times().user
        folder = run(config, root=Path(root), workers=1, device="cpu")
        spent.append(os.times().user - before)
        bytes_ = folder.results.read_bytes()
print(min(spent[1:]), hashlib.sha256(bytes_).hexdigest())
"""


def measured(checkout: Path, images: int) -> tuple[float, str]:
    """Return the user CPU seconds of a run with the code of a checkout, and the checksum of its results."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(images)],
        cwd=checkout,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    spent, checksum = done.stdout.split()
    return float(spent), checksum


def main() -> None:
    """Print every pair, and the median of the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("before", type=Path)
    arguments.add_argument("after", type=Path)
    arguments.add_argument("--pairs", type=int, default=6)
    arguments.add_argument("--images", type=int, default=128)
    told = arguments.parse_args()
    ratios = []
    for number in range(told.pairs):
        order = (told.before, told.after) if number % 2 == 0 else (told.after, told.before)
        found = {checkout: measured(checkout, told.images) for checkout in order}
        spent = {checkout: seconds for checkout, (seconds, _) in found.items()}
        assert len({checksum for _, checksum in found.values()}) == 1, "other results"
        ratios.append(spent[told.after] / spent[told.before])
        print(f"{spent[told.before]:.2f} s, {spent[told.after]:.2f} s: {ratios[-1]:.4f}", flush=True)
    print(f"median ratio of {told.pairs} pairs: {statistics.median(ratios):.4f}")


if __name__ == "__main__":
    main()
