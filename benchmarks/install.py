"""Megabytes and seconds of an installation in an empty environment: all of it, or what runs exported files.

The size is what pip adds to the environment, bytecode included; the time depends on the network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

HOUSE = Path(__file__).resolve().parents[1]
EXPORTED = ("onnxruntime", "numpy", "pillow", "typer", "rich")
SETS: dict[str, Sequence[str]] = {
    "exported files": EXPORTED,
    "exported files, resizing and videos": (*EXPORTED, "opencv-python-headless"),
    "all": (),
}
"""What it is for -> the packages in place of the dependencies; none: all dependencies."""


def size(folder: Path) -> float:
    """Return the megabytes (10^6 bytes) of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


def main() -> None:
    """Build the wheel, install it, and print a row a set of packages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"of {', '.join(SETS)}")
    chosen = parser.parse_args().sets
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", scratch, str(HOUSE)], check=True
        )
        (wheel,) = Path(scratch).glob("clearsight-*.whl")
        print("| installed for | MB | seconds |\n| --- | ---: | ---: |")
        for number, name in enumerate(chosen):
            folder = Path(scratch) / f"venv{number}"
            venv.create(folder, with_pip=True)
            before, start = size(folder), perf_counter()
            python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
            install = [python, *pip[1:], "install", "-c", str(HOUSE / "constraints.txt")]
            if SETS[name]:
                subprocess.run([*install, *SETS[name]], check=True)
                subprocess.run([*install, "--no-deps", str(wheel)], check=True)
            else:
                subprocess.run([*install, str(wheel)], check=True)
            print(f"| {name} | {size(folder) - before:.0f} | {perf_counter() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
