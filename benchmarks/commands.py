"""Whole commands, as processes, beside the loops that one would write by hand for the same work.

    python benchmarks/commands.py --images PHOTOGRAPHS [--before ../before] [--write docs/speed.md]

Command, loop and, where it is given, an older checkout take turns; every process starts anew and writes into
a new folder. Figures are medians over the turns. Wall-clock time is what a user waits; CPU seconds (user and
system, of all processes) are what other work on the machine disturbs less. ``fixed`` is the command on one
image; what is left, divided by the other images, is the time of an image. ``--write`` puts the table between
the comments of a document.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import cv2

from clearsight.data.catalogue import SOURCES, images_at
from clearsight.data.home import replace_file
from clearsight.data.sources.base import Source

HERE = Path(__file__).resolve().parent
CALL = [sys.executable, "-c", "from clearsight.pipelines.cli.app import main; main()"]
LOOP = [sys.executable, str(HERE / "_loops.py")]
NAME = "benchmarks/commands.py"
HEAD = (
    "| command | images | wall s | CPU s | loop: wall s | CPU s | loop / command: wall | CPU "
    "| before / now: wall | CPU | fixed: CPU s | CPU ms an image |"
)
CLASSIFIER, RESTORER = "signs-standard-v1", "denoise-color-v2"
CONFIG = """
task: evaluate
name: speed
data: {{kind: signs, split: test, count: {count}}}
parts:
  classify: {{kind: small_convnet, weights: {weights}}}
systems: {{plain: [classify]}}
conditions:
  clean: {{kind: identity}}
  noise: {{kind: gaussian_noise, severity: 3, table: imagenet_c}}
attacks:
  {attack}
compare: {{baseline: plain}}
"""
ATTACKS = {
    "none": "none: {kind: none}",
    "PGD-10": "pgd: {kind: pgd, eps: 4/255, steps: 10, step_size: 1/255}",
}


Words = Callable[[str, Path], list[str]]


@dataclass(frozen=True)
class Spent:
    """Seconds of a process and of those that it started."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Job:
    """A command and what it is compared with.

    Attributes:
        name: for the table.
        images: how many the whole folder holds.
        command: what it is given and a new folder for results -> words after ``clearsight``.
        loop: likewise -> words after ``_loops.py``.
        large: what it is given: a folder of images, or how many signs it draws.
        small: likewise, one image.
    """

    name: str
    images: int
    command: Words
    loop: Words
    large: str
    small: str


def spent(words: Sequence[str], checkout: Path) -> Spent:
    """Run a process with the code of a checkout, on one thread each, and return its seconds."""
    settings = {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NO_COLOR": "1"}
    with tempfile.TemporaryFile() as told:
        began = perf_counter()
        # In the checkout: ``python -c`` looks for modules in the current folder before ``PYTHONPATH``.
        process = subprocess.Popen(words, cwd=checkout, env=os.environ | settings, stdout=told, stderr=told)
        _, status, used = os.wait4(process.pid, 0)
        wall = perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            told.seek(0)
            raise SystemExit(f"{' '.join(words)}\n{told.read().decode(errors='replace')}")
    return Spent(wall, used.ru_utime + used.ru_stime)


def taken(job: Job, turns: int, before: Path | None) -> dict[str, list[Spent]]:
    """Return the seconds of each contestant in each turn; who goes first changes."""
    now = HERE.parent
    contestants: list[tuple[str, Path, list[str], Words, str]] = [
        ("now", now, CALL, job.command, job.large),
        ("fixed", now, CALL, job.command, job.small),
        ("loop", now, LOOP, job.loop, job.large),
    ]
    if before is not None:
        contestants.append(("before", before, CALL, job.command, job.large))
    found: dict[str, list[Spent]] = {name: [] for name, *_ in contestants}
    for turn in range(turns):
        first = turn % len(contestants)
        for name, checkout, program, words, folder in contestants[first:] + contestants[:first]:
            with tempfile.TemporaryDirectory() as place:
                found[name].append(spent([*program, *words(folder, Path(place, "out"))], checkout))
            print(f"{job.name}: {name} {found[name][-1].wall:.2f} s", file=sys.stderr, flush=True)
    return found


def row(job: Job, found: dict[str, list[Spent]]) -> str:
    """Return a line of the table."""

    def seconds(name: str) -> list[str]:
        kinds = ("wall", "cpu")
        return [f"{statistics.median(getattr(s, k) for s in found[name]):.1f}" for k in kinds]

    def ratios(name: str) -> list[str]:
        if name not in found:
            return ["", ""]
        pairs = list(zip(found[name], found["now"], strict=True))
        return [
            f"{statistics.median(getattr(a, k) / getattr(b, k) for a, b in pairs):.2f}"
            for k in ("wall", "cpu")
        ]

    fixed, whole = (statistics.median(s.cpu for s in found[name]) for name in ("fixed", "now"))
    each = 1000 * (whole - fixed) / (job.images - 1)
    cells = [
        f"`{job.name}`",
        str(job.images),
        *seconds("now"),
        *seconds("loop"),
        *ratios("loop"),
        *ratios("before"),
    ]
    return "| " + " | ".join([*cells, f"{fixed:.1f}", f"{each:.1f}"]) + " |"


def photographs(source: Source, count: int, folder: Path) -> Path:
    """Write the first images of a source below class folders, and return the folder."""
    for number, entry in enumerate(source.index().entries[:count]):
        place = folder / f"{entry.truth or 0:02d}"
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{number:05d}.png"), source.load(entry)[:, :, ::-1])
    return folder


def jobs(place: Path, images: Source, scale: float) -> list[Job]:
    """Write what the commands read, and return what is measured."""
    counts = {name: max(2, round(count * scale)) for name, count in COUNTS.items()}
    signs = SOURCES.parse({"kind": "signs", "split": "test", "count": max(counts.values())})

    def folders(name: str, source: Source) -> tuple[str, str]:
        return tuple(  # type: ignore[return-value]
            str(photographs(source, count, place / f"{name}-{count}")) for count in (counts[name], 1)
        )

    def corrupting(form: str) -> Job:
        options = ["--severity", "3", "--workers", "2", "--quiet", "--format", form]
        return Job(
            f"corrupt --format {form}",
            counts["corrupt"],
            lambda source, out: ["corrupt", source, str(out), *options],
            lambda source, out: ["corrupt", source, str(out), form],
            *folders("corrupt", images),
        )

    def measuring(attack: str) -> Job:
        def command(count: str, out: Path) -> list[str]:
            config = out.with_suffix(".yaml")
            text = CONFIG.format(count=count, weights=CLASSIFIER, attack=ATTACKS[attack])
            config.write_text(text, encoding="utf-8")
            return ["run", str(config), "--out", str(out), "--workers", "1", "--quiet"]

        def loop(count: str, out: Path) -> list[str]:
            return ["run", count, CLASSIFIER, "0" if attack == "none" else "10"]

        return Job(f"run, attack {attack}", counts["run"], command, loop, str(counts["run"]), "1")

    def inferring() -> Job:
        model, config = place / "exported" / "plain.onnx", place / "export.yaml"
        config.write_text(
            CONFIG.format(count=1, weights=CLASSIFIER, attack=ATTACKS["none"]), encoding="utf-8"
        )
        spent([*CALL, "export", str(config), "--out", str(model.parent), "--quiet"], HERE.parent)
        options = ["--threads", "1", "--quiet"]
        return Job(
            "infer",
            counts["infer"],
            lambda source, out: ["infer", str(model), source, "--csv", f"{out}.csv", *options],
            lambda source, out: ["infer", source, str(model)],
            *folders("infer", signs),
        )

    return [
        corrupting("png"),
        corrupting("jpeg"),
        Job(
            "restore --with denoise",
            counts["restore"],
            lambda source, out: ["restore", source, str(out), "--with", RESTORER, "--quiet"],
            lambda source, out: ["restore", source, str(out), RESTORER],
            *folders("restore", images),
        ),
        measuring("none"),
        inferring(),
        measuring("PGD-10"),
    ]


COUNTS = {"corrupt": 200, "restore": 100, "run": 400, "infer": 1000}
"""Images of each command."""


def write(document: Path, table: str) -> None:
    """Put the table between the comments of a document."""
    text, start, end = (
        document.read_text(encoding="utf-8"),
        f"<!-- measured: {NAME} -->",
        f"<!-- end of {NAME} -->",
    )
    head, _, rest = text.partition(start)
    tail = rest.partition(end)[2]
    replace_file(document, f"{head}{start}\n\n{table}\n\n{end}{tail}".encode())


def main() -> None:
    """Print the table of what the command line asks for."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument(
        "--images", required=True, help="photographs of 224 x 224 pixels, as any command takes them"
    )
    arguments.add_argument("--before", type=Path, help="an older checkout to compare with")
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--scale", type=float, default=1.0, help="share of the images that are used")
    arguments.add_argument("--only", default="", help="commands whose names begin so")
    arguments.add_argument("--write", type=Path, help="document that the table is put into")
    told = arguments.parse_args()
    before = told.before.resolve() if told.before else None
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores; turns: {told.turns}; share of images: {told.scale}."
    )
    table = "\n".join([machine, "", HEAD, "|---|" + "---:|" * (HEAD.count("|") - 2)])
    with tempfile.TemporaryDirectory() as place:
        for job in jobs(Path(place), images_at(told.images), told.scale):
            if job.name.startswith(told.only):
                table += "\n" + row(job, taken(job, told.turns, before))
                print(table, flush=True)
                if told.write:
                    # After every row: what is measured stays where the rest is given up.
                    write(told.write, table)


if __name__ == "__main__":
    main()
