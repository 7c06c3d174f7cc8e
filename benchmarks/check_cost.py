"""Cost of the checks of a run: CPU seconds of equal runs with and without them, and seconds spent in them.

    python benchmarks/check_cost.py [--pairs 6] [--images 120]

Without means: seals hold no checksums and are trusted, images are not hashed again when they are read,
systems are not tried beforehand, and values are not checked for being finite. Both runs must give the same
bytes of results. They take turns in one process; user plus system seconds are compared, which other work on
the machine affects less than wall-clock time. The first run, which loads libraries, is not counted. A last
run measures the share of its seconds spent inside the checks: a figure that needs no pair.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import torch
import yaml

from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.finite import refuse_non_finite
from clearsight.data.media.images import encode_png
from clearsight.data.seals import Seal
from clearsight.data.sources.base import Source
from clearsight.data.sources.signs import Signs
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.behaviour_check import behaviour_warnings
from clearsight.pipelines.evaluation.run import run

CONFIG = """
task: evaluate
name: cost
data: {kind: folder, path: PLACE}
parts:
  classify: {kind: small_convnet, weights: signs-standard-v1}
  median: {kind: median}
systems: {plain: [classify], median: [median, classify]}
conditions:
  clean: {kind: identity}
  noise: {kind: gaussian_noise, each: {severity: [1, 3, 5]}}
  fog: {kind: fog, each: {severity: [1, 3, 5]}}
compare: {baseline: plain}
"""
FINITE = ("evaluation.worker", "evaluation.attack_batch", "systems.target")
"""Modules that check values for being finite."""
TRIED = "clearsight.pipelines.evaluation.plan.behaviour_warnings"


def images(place: Path, count: int) -> None:
    """Write synthetic road signs as files, in a folder a class."""
    signs = Signs(split="test", count=count, size=64)
    index = signs.index()
    for number, entry in enumerate(index.entries):
        folder = place / index.classes[entry.truth or 0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.png").write_bytes(encode_png(signs.load(entry)))


@contextmanager
def unchecked() -> Iterator[None]:
    """Disable the checks."""
    read: Callable[..., Any] = Source.read

    def believed(self: Source, entries: Sequence[Any], digests: Any = None) -> Any:
        return read(self, entries)

    def vouch(self: Seal, path: Path, content: bytes) -> None:
        self.files[self._name(path)] = ""

    with ExitStack() as patches:
        patches.enter_context(patch.object(Source, "read", believed))
        patches.enter_context(patch.object(Seal, "vouch", vouch))
        patches.enter_context(patch.object(Seal, "opened", lambda self: self))
        patches.enter_context(patch.object(Seal, "check", lambda self: None))
        patches.enter_context(patch.object(Seal, "read", lambda self, path: path.read_bytes()))
        patches.enter_context(patch.object(Seal, "close", lambda self: self.path.write_bytes(b"")))
        patches.enter_context(patch(TRIED, lambda *_: ()))
        for module in FINITE:
            patches.enter_context(
                patch(f"clearsight.pipelines.{module}.refuse_non_finite", lambda *_, **__: None)
            )
        yield


def spent(config: Evaluate) -> tuple[float, str]:
    """Return the CPU seconds of a run, and the checksum of its results."""
    with tempfile.TemporaryDirectory() as root:
        before = os.times()
        folder: RunFolder = run(config, root=Path(root), workers=1, device="cpu")
        after = os.times()
        checksum = hashlib.sha256(folder.results.read_bytes()).hexdigest()
    return after.user + after.system - before.user - before.system, checksum


@contextmanager
def clocked(seconds: dict[str, float]) -> Iterator[None]:
    """Add the CPU seconds inside each check to ``seconds``; a check inside another counts as part of it."""
    inside = False

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*given, **named)
            inside, before = True, process_time()
            try:
                return function(*given, **named)
            finally:
                seconds[name] += process_time() - before
                inside = False

        return call

    with ExitStack() as patches:
        # Reading a file is not a check, but it happens in one call with its checksum.
        for name in ("vouch", "close", "opened", "read", "check"):
            patches.enter_context(patch.object(Seal, name, timed("seals", getattr(Seal, name))))
        digest = timed("images hashed", Source._digest)
        patches.enter_context(patch.object(Source, "_digest", digest))
        patches.enter_context(patch(TRIED, timed("systems tried", behaviour_warnings)))
        for module in FINITE:
            place = f"clearsight.pipelines.{module}.refuse_non_finite"
            patches.enter_context(patch(place, timed("values looked at", refuse_non_finite)))
        yield


def main() -> None:
    """Print every pair, and the median of the ratios."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=6)
    arguments.add_argument("--images", type=int, default=120)
    told = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        images(Path(place), told.images)
        document = yaml.safe_load(CONFIG.replace("PLACE", place))
        document["data"]["label_map"] = {name: n for n, name in enumerate(Signs().index().classes)}
        config = Evaluate.model_validate(document)
        _, first = spent(config)
        ratios = []
        for number in range(told.pairs):
            found = {}
            for checked in (True, False) if number % 2 else (False, True):
                with ExitStack() as off:
                    if not checked:
                        off.enter_context(unchecked())
                    found[checked], checksum = spent(config)
                assert checksum == first, "other results"
            ratios.append(found[True] / found[False])
            print(f"without {found[False]:.2f} s, with {found[True]:.2f} s: {ratios[-1]:.4f}", flush=True)
        seconds: dict[str, float] = defaultdict(float)
        with clocked(seconds):
            whole, _ = spent(config)
    if ratios:
        middle = statistics.median(ratios)
        print(f"median ratio of {told.pairs} pairs: {middle:.4f}, {min(ratios):.4f} to {max(ratios):.4f}")
    parts = ", ".join(f"{name} {100 * part / whole:.2f} %" for name, part in seconds.items())
    print(f"of {whole:.2f} s, {100 * sum(seconds.values()) / whole:.2f} % inside the checks: {parts}")


if __name__ == "__main__":
    main()
