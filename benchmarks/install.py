"""Megabytes and seconds of an installation: the wheel with each set of extras in an environment of its own.

The size is what pip adds to an empty environment, bytecode included; the time depends on the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from time import perf_counter

HOUSE = Path(__file__).resolve().parents[1]
SETS = ("", "infer", "infer,serve", "full")


def size(folder: Path) -> float:
    """Return the megabytes (10^6 bytes) of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main() -> None:
    """Build the wheel, install it, and print a row a set of extras."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help="extras, such as infer or infer,serve")
    chosen = parser.parse_args().sets
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", scratch, str(HOUSE)], check=True
        )
        (wheel,) = Path(scratch).glob("clearsight-*.whl")
        print("| installed | MB | seconds |\n| --- | ---: | ---: |")
        for number, extras in enumerate(chosen):
            folder = Path(scratch) / f"venv{number}"
            venv.create(folder, with_pip=True)
            before, start = size(folder), perf_counter()
            python = next(folder.glob("*/python*"))
            told = f"{wheel}[{extras}]" if extras else str(wheel)
            with_versions = ["-c", str(HOUSE / "constraints.txt")]
            subprocess.run([str(python), *pip[1:], "install", *with_versions, told], check=True)
            name = f"clearsight[{extras}]" if extras else "clearsight"
            print(f"| `{name}` | {size(folder) - before:.0f} | {perf_counter() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
