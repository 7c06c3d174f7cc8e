"""Times calls in turns, so that a slow moment hits all of them; and describes the machine. No torch."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.cores import cpu_info, cpu_model, usable_cores
from clearsight.pipelines.inference.session import Session, sizes

WARM_UP = 3
"""Calls that are not counted: the first plan memory and fill caches."""
LEAST, MOST = 9, 2000
"""Calls of each contestant that are counted, at least and at most."""
RESAMPLES = 1000
BUSY = 0.25
"""Share of the cores that other work may take before a warning is given."""
SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
"""Instruction sets that decide the speed of matrix products; int8 gains most with VNNI."""
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "numpy")


@dataclass(frozen=True)
class Machine:
    """Where times were measured.

    Attributes:
        processor: its name.
        instructions: those of `SETS` that it has.
        cores: number of cores that this process may use.
        system: operating system and kind of machine.
        versions: library -> version.
        load: load average over the minute before the first call.
    """

    processor: str
    instructions: tuple[str, ...]
    cores: int
    system: str
    versions: Mapping[str, str]
    load: float

    @property
    def warning(self) -> str:
        """Return a remark on a machine that is busy, else ''."""
        if self.load <= BUSY * self.cores:
            return ""
        return f"the machine is busy: load {self.load:.1f} on {self.cores} cores; times are too long"


@dataclass(frozen=True)
class Speed:
    """Times of one contestant, in milliseconds per call.

    Attributes:
        calls: how many were counted.
        p50: median.
        p95: 95th percentile.
        rate: images a second, over all calls.
        ratio: median of the reference over that of this contestant: above 1 is faster. None without a
            reference.
        interval: 95 % bootstrap interval of the ratio, over turns.
    """

    calls: int
    p50: float
    p95: float
    rate: float
    ratio: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """One file at one size.

    Attributes:
        file: its label.
        height: of the images, in pixels.
        width: likewise.
        batch: images per call.
        speed: what was measured.
        milliseconds: of every call, in order.
    """

    file: str
    height: int
    width: int
    batch: int
    speed: Speed
    milliseconds: tuple[float, ...]


def here() -> Machine:
    """Return the machine that this process runs on."""
    cpu = cpu_info()
    words = set(cpu.get("flags", cpu.get("Features", "")).split())
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Machine(
        cpu_model(),
        tuple(each for each in SETS if each in words),
        usable_cores(),
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        {library: found for library in LIBRARIES if (found := _version(library))},
        round(load, 2),
    )


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def take_turns(
    calls: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    least: int = LEAST,
    most: int = MOST,
    lead: int = 0,
    pause: float = 0.0,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, NDArray[np.float64]]:
    """Return the milliseconds of every call: each contestant once per turn, in an order drawn for each turn.

    Args:
        calls: name -> what is timed.
        seconds: turns go on until counted calls took this long per contestant, on average.
        least: minimum number of turns.
        most: maximum number of turns.
        lead: uncounted calls before each counted one, so that its own data is in the caches.
        pause: seconds of rest before these, so that spinning threads of other contestants go to sleep.
        clock: returns seconds since any fixed moment.
    """
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    names, spent = list(calls), 0.0
    for turn in range(most):
        if turn >= least and spent >= seconds * len(calls):
            break
        # Each runs after each of the others now and then, with the caches and threads that they leave behind.
        for place in Rng(0).at("turn", turn).numpy().permutation(len(names)):
            name = names[place]
            if pause:
                sleep(pause)
            for _ in range(lead):
                calls[name]()
            start = clock()
            calls[name]()
            took = clock() - start
            times[name].append(1000.0 * took)
            spent += took
    return {name: np.array(each) for name, each in times.items()}


def speed(
    times: NDArray[np.float64], batch: int, reference: NDArray[np.float64] | None = None, *, rng: Rng
) -> Speed:
    """Return the statistics of measured times.

    Args:
        times: (n,) milliseconds of one contestant.
        batch: images per call.
        reference: (n,) milliseconds of the contestant that it is compared with, in the same turns.
        rng: random stream that resamples turns.
    """
    p50, p95 = (float(value) for value in np.percentile(times, (50, 95)))
    rate = 1000.0 * batch * len(times) / float(times.sum())
    if reference is None:
        return Speed(len(times), p50, p95, rate)
    drawn = rng.numpy().integers(0, len(times), (RESAMPLES, len(times)))
    ratios = np.median(reference[drawn], axis=1) / np.median(times[drawn], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return Speed(
        len(times), p50, p95, rate, float(statistics.median(reference)) / p50, (float(low), float(high))
    )


def parse_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Return heights and widths of ``32,64`` (squares) or ``640x480`` (width x height), each once.

    Raises:
        ConfigError: anything else.
    """
    found: dict[tuple[int, int], None] = {}
    for word in text.split(","):
        sides = [side.strip() for side in word.lower().split("x")]
        if len(sides) > 2 or not all(side.isascii() and side.isdecimal() and int(side) for side in sides):
            raise ConfigError(
                f"'{word.strip()}' is not a size", where="--sizes", hint="write 32,64 or 640x480 for example"
            )
        found[int(sides[-1]), int(sides[0])] = None
    return tuple(found)


def labels(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a unique label for each file: its name, with folders or a number where needed."""
    names = [path.name for path in paths]
    names = [str(path) if names.count(path.name) > 1 else path.name for path in paths]
    return tuple(
        f"{name} ({names[:at].count(name) + 1})" if names.count(name) > 1 else name
        for at, name in enumerate(names)
    )


def fits(session: Session, height: int, width: int) -> bool:
    """Return True where a file takes images of this size."""
    taken = session.deployed.input
    right = taken.height in (None, height) and taken.width in (None, width)
    return right and min(height, width) >= taken.minimum


def measure(
    sessions: Mapping[str, Session],
    height: int,
    width: int,
    *,
    batch: int,
    seconds: float,
    note: Callable[[str], None],
) -> list[Row]:
    """Time files on images of one size, from pixels in memory (uint8) to outputs in memory.

    Args:
        sessions: label -> file; the first is what others are compared with.
        height: of the images.
        width: of the images.
        batch: images per call.
        seconds: of counted calls, for each file.
        note: called with a line about each file that is left out, and why.

    Returns:
        Rows of the files that take this size; without ratios where the first file does not.
    """
    calls: dict[str, Callable[[], object]] = {}
    for label, session in sessions.items():
        if not fits(session, height, width):
            note(f"{label} takes {sizes(session.deployed)}; {width}x{height} is left out")
            continue
        call = _call(session, height, width, batch)
        try:
            call()
        except ClearsightError as error:
            note(f"{label} at {width}x{height}: {error}")
            continue
        calls[label] = call
    if not calls:
        return []
    times = take_turns(calls, seconds=seconds)
    reference = times.get(next(iter(sessions)))
    rng = Rng(0).at("bench", height, width)
    return [
        Row(label, height, width, batch, speed(each, batch, reference, rng=rng), tuple(each.tolist()))
        for label, each in times.items()
    ]


def _call(session: Session, height: int, width: int, batch: int) -> Callable[[], object]:
    shape = (batch, height, width, session.deployed.input.channels)
    # Noise, so that no part can take a short cut.
    images = Rng(0).at("bench", *shape).numpy().integers(0, 256, shape).astype(np.uint8)
    return lambda: session.run(images, batch)


def told(machine: Machine, rows: Sequence[Row], **more: Any) -> dict[str, Any]:
    """Return everything as plain data, for JSON."""
    found = [asdict(row) for row in rows]
    for row in found:
        row["milliseconds"] = [round(value, 4) for value in row["milliseconds"]]
    return {"machine": asdict(machine), **more, "rows": found}
