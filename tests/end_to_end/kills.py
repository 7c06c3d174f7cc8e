"""Kills commands half-way, again and again, and compares what they leave in the end with an undisturbed call.

    python tests/end_to_end/kills.py [--kills 6] [--only run,train]

Each command is started, killed as soon as its results have grown to another share of the whole, and started
again; the signals take turns. Its last start is left alone. All that decides a figure must then have the bytes
of a call that nobody killed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

HOUSE = Path(__file__).parents[2]
sys.path.insert(0, str(HOUSE / "tests"))

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE = 1200.0
"""Seconds that one call may take on a machine that does other things too."""
SIGNS = {"kind": "signs", "split": "test", "count": 68, "size": 32}
RUN = {
    "task": "evaluate",
    "name": "killed",
    "chunk": 17,
    "data": SIGNS,
    "parts": {"classify": {"kind": "small_convnet", "weights": "signs-standard-v1"}, "m": {"kind": "median"}},
    "systems": {"plain": ["classify"], "median": ["m", "classify"]},
    "conditions": {"clean": {"kind": "identity"}, "noise": {"kind": "gaussian_noise", "each": {"severity": [3, 5]}}},
    "attacks": {"none": {"kind": "none"}, "pgd": {"kind": "pgd", "steps": 5, "keep": True}},
    "measure": [{"conditions": ["clean", "noise"], "attacks": ["none", "pgd"]}],
    "images": 2,
}  # fmt: skip
TRAIN = {
    "task": "train",
    "name": "killed",
    "data": {"kind": "signs", "split": "train", "count": 170, "pixels": 16},
    "validation": {"per_class": 2},
    "model": {"kind": "small_convnet", "width": 4, "blocks": 1},
    "augment": {"crop": 1, "flip": False},
    "optimiser": {"kind": "sgd", "rate": 0.05},
    "epochs": 16,
    "batch": 17,
    "checks": 16,
    "ema": 0.9,
}


@dataclass(frozen=True)
class Command:
    """One command under attack.

    Attributes:
        words: of the command line, in a folder of its own.
        grown: how much of its results is there.
        kept: files, by glob, whose bytes must be those of an undisturbed call.
        again: words of every call but the first.
    """

    words: Sequence[str]
    grown: Callable[[Path], int]
    kept: Sequence[str]
    again: Sequence[str] = ()


def count(pattern: str) -> Callable[[Path], int]:
    return lambda home: sum(1 for _ in home.glob(pattern))


def checks_done(home: Path) -> int:
    """Return how often training has been checked, as its curve says."""
    import json

    try:
        (path,) = home.glob("trained/**/checkpoint.safetensors")
        content = path.read_bytes()[32:]
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return int(json.loads(head["__metadata__"]["clearsight"])["checked"])
    except (OSError, ValueError):
        return 0


def size(name: str) -> Callable[[Path], int]:
    return lambda home: (home / name).stat().st_size if (home / name).exists() else 0


COMMANDS = {
    "run": Command(
        ("run", "run.yaml", "--workers", "2"),
        count("runs/*/cells/*/seal-*.json"),
        ("runs/*/results.parquet", "runs/*/summary.csv", "runs/*/images/*", "runs/*/cells/*/adversarial-*"),
    ),
    "train": Command(
        ("train", "train.yaml", "--out", "trained"), checks_done, ("trained/**/model.safetensors",)
    ),
    "corrupt": Command(
        ("corrupt", "photos", "c", "--set", "fog,elastic_transform,glass_blur", "--workers", "2"),
        count("c/*/*/*.png"),
        ("c/**/*.*",),
    ),
    "restore": Command(
        ("restore", "photos", "restored", "--with", "non_local_means"),
        count("restored/*.png"),
        ("restored/*.png",),
    ),
    "infer": Command(
        ("infer", "tiny.onnx", "many", "--csv", "rows.csv"), size("rows.csv"), ("rows.csv",), ("--resume",)
    ),
}


def prepare(home: Path) -> None:
    """Write everything that the commands read."""
    from tiny_onnx import tiny

    (home / "run.yaml").write_text(yaml.safe_dump(RUN))
    (home / "train.yaml").write_text(yaml.safe_dump(TRAIN))
    drawn = np.random.Generator(np.random.Philox(0))
    for folder, number, side in (("photos", 24, 96), ("many", 3000, 16)):
        (home / folder).mkdir()
        for i in range(number):
            pixels = drawn.integers(0, 256, (side, side, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(home / folder / f"{i:04}.png")
    tiny(home / "tiny.onnx")


def start(command: Command, home: Path, *, again: bool) -> subprocess.Popen[bytes]:
    words = [*command.words, *(command.again if again else ()), "--quiet"]
    paths = f"{HOUSE}{os.pathsep}{HOUSE / 'tests' / 'pipelines'}"
    return subprocess.Popen(
        [sys.executable, "-m", "clearsight", *words],
        cwd=home,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(command: Command, home: Path, *, again: bool) -> None:
    """Run a command to its end."""
    _, said = (running := start(command, home, again=again)).communicate(timeout=PATIENCE)
    if running.returncode:
        raise AssertionError(f"{command.words[0]}: {said.decode()}")


def kept(command: Command, home: Path) -> dict[str, str]:
    """Return the checksums of what must be equal, by path without the name of the run."""
    found = {}
    for pattern in command.kept:
        for path in sorted(home.glob(pattern)):
            if path.is_file():
                found[path.relative_to(home).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found, command.words
    return found


def kill_and_compare(name: str, kills: int, first: int = 0) -> int:
    """Kill a command so many times on its way, let it end, and compare.

    Args:
        name: of the command.
        kills: how many times.
        first: number of the signal to begin with.

    Returns:
        How many kills met a running process; the others came when it had ended.
    """
    command = COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        whole, home = Path(folder) / "whole", Path(folder) / "killed"
        whole.mkdir()
        prepare(whole)
        subprocess.run(["cp", "-r", str(whole), str(home)], check=True)
        finish(command, whole, again=False)
        total, met = command.grown(whole), 0
        for number in range(kills):
            running = start(command, home, again=number > 0)
            wanted = total * (number + 1) / (kills + 1)
            deadline = time.monotonic() + PATIENCE
            while running.poll() is None and command.grown(home) < wanted:
                assert time.monotonic() < deadline, name
                time.sleep(0.01)
            if running.poll() is None:
                running.send_signal(SIGNALS[(first + number) % len(SIGNALS)])
                met += 1
            _, said = running.communicate(timeout=PATIENCE)
            assert b"Traceback" not in said, said.decode()
        finish(command, home, again=kills > 0)
        assert kept(command, home) == kept(command, whole), name
        return met


def main() -> None:
    """Kill every command, and say how often and what came of it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--kills", type=int, default=6, help="of each command")
    arguments.add_argument("--only", default=",".join(COMMANDS), help="commands, divided by commas")
    told = arguments.parse_args()
    met = 0
    for place, name in enumerate(told.only.split(",")):
        found = kill_and_compare(name, told.kills, first=place)
        met += found
        sys.stdout.write(f"{name}: killed {found} times, same bytes\n")
        sys.stdout.flush()
    sys.stdout.write(f"{met} kills, no difference\n")


if __name__ == "__main__":
    main()
