"""Quality against milliseconds: every shipped restoration network beside the classical methods, in one run.

Prints Markdown tables, with the protocol of each and published figures in blocks of their own. Run from the
repository with the folder of the test sets (their .tar files) in CLEARSIGHT_DATA or ``--data``:
``python benchmarks/restoration.py --task denoise --images 10``. A machine that does other work at the same
time spoils the milliseconds, not the figures of quality.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ClearsightError

if TYPE_CHECKING:
    from _table import Case, Column
    from _tasks import Round

TASKS = ("denoise", "impulses", "sr", "deblur", "real", "lowlight", "haze", "water")


def rounds(task: str, folder: Path, count: int | None, scratch: Path) -> Iterator[Round]:
    """Return the tables of a task."""
    import _tasks
    import _weather

    if task == "deblur":
        return _tasks.deblur(folder, count, scratch)
    makers = {
        "denoise": _tasks.denoise,
        "impulses": _tasks.impulses,
        "sr": _tasks.sr,
        "real": _tasks.real,
        "lowlight": _tasks.lowlight,
        "haze": _weather.haze,
        "water": _weather.water,
    }
    return makers[task](folder, count)


def play(played: Round, options: argparse.Namespace) -> None:
    """Measure one round and print its table; save sheets of images where asked for."""
    from _contestants import INPUT
    from _published import published
    from _table import markdown, measure, save_sheet
    from _timing import milliseconds, sample_image

    print(f"\n## {played.title}\n\n{played.protocol}\n", flush=True)
    columns: list[Column] = []
    rivals = {each.label: each for each in played.timed_only}
    for name, cases in played.conditions.items():
        if options.under is not None and name not in options.under:
            continue
        cases_of = (_only(case, options.only) for case in cases())
        columns.append(measure(name, _noted(cases_of, rivals), played.judge, _progress))
        if options.save is not None:
            save_sheet(columns[-1], options.save / f"{played.name}-{name.replace(' ', '')}.png")
    _progress("")
    rivals.pop(INPUT.label, None)
    if options.time:
        given = sample_image(played.channels, played.scale)
        times = milliseconds(rivals, dict.fromkeys(rivals, given))
    else:
        times = {}
    relative = played.timed_only[0].label if played.timed_only else None
    sizes = {label: each.parameters for label, each in rivals.items()}
    counts = ", ".join(f"{c.name} {len(next(iter(next(iter(c.scores.values())).values())))}" for c in columns)
    print(f"Images: {counts}. ms: 256x256 result, {played.channels} channels, eager.\n")
    print(markdown(columns, reference=played.reference, times=times, sizes=sizes, cost_of=relative))
    for each in played.timed_only:
        print(f"{each.label}: fresh weights, timed only.\n")
    print(published(played.name), flush=True)


def _only(case: Case, labels: list[str] | None) -> Case:
    """Return the case with the contestants whose labels begin with one of these, and the input."""
    from _contestants import INPUT

    if labels is None:
        return case
    kept = [each for each in case.contestants if each is INPUT or each.label.startswith(tuple(labels))]
    return replace(case, contestants=kept)


def _noted(cases: Iterator, rivals: dict) -> Iterator:  # type: ignore[type-arg]
    """Pass the cases on and record their contestants in ``rivals``."""
    for case in cases:
        rivals.update({each.label: each for each in case.contestants})
        yield case


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text[:78]:78}\r", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", choices=[*TASKS, "all"], default="all")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("CLEARSIGHT_DATA"), help="folder of .tar files"
    )
    parser.add_argument("--images", type=int, help="at most so many of each set, evenly spaced")
    parser.add_argument(
        "--only", nargs="+", metavar="LABEL", help="measure only methods whose labels begin with one of these"
    )
    parser.add_argument("--under", nargs="+", metavar="CONDITION", help="measure only under these conditions")
    parser.add_argument("--tables", nargs="+", metavar="NAME", help="print only tables of these names")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", type=Path, help="folder for sheets of images, before and after")
    parser.add_argument("--no-time", dest="time", action="store_false", help="measure quality only")
    parser.add_argument("--tune", action="store_true", help="print the grids behind the classical constants")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the test sets: --data FOLDER, or set CLEARSIGHT_DATA")

    # Before numpy is imported: its linear algebra reads them then.
    os.environ.update(OMP_NUM_THREADS=str(options.threads), OPENBLAS_NUM_THREADS=str(options.threads))
    import torch

    torch.set_num_threads(options.threads)
    try:
        if options.tune:
            from _tune import tune

            tune(options.data)
            return 0
        print(f"# Restoration\n\n{platform.machine()}, torch {torch.__version__}, {options.threads} threads")
        with tempfile.TemporaryDirectory() as scratch:
            for task in TASKS if options.task == "all" else (options.task,):
                for played in rounds(task, options.data, options.images, Path(scratch)):
                    if options.tables is None or played.name in options.tables:
                        play(played, options)
    except ClearsightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
