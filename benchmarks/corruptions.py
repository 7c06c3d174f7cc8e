"""Time of every corruption, beside the library imagecorruptions, in one run.

Both are called as a user calls them, on the same image, in turns, with one thread. Run from the repository:
``python benchmarks/corruptions.py``. A machine that does other work at the same time spoils the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from clearsight.data.benchmark.sets import SETS
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMON, EXTRA = list(SETS["imagenet_c_15"]), list(SETS["imagenet_c_extra_4"])
WARM_UP = 2


def milliseconds(calls: list[Callable[[], object]], repeats: int, at_least: float) -> list[float]:
    """Return the median milliseconds of each call; calls take turns, so that a slow moment hits all of them.

    Args:
        calls: functions without arguments.
        repeats: least number of timings of each.
        at_least: least seconds of timing in total.
    """
    for _ in range(WARM_UP):
        for call in calls:
            call()
    times: list[list[float]] = [[] for _ in calls]
    begin = perf_counter()
    while len(times[0]) < repeats or perf_counter() - begin < at_least:
        for call, taken in zip(calls, times, strict=True):
            start = perf_counter()
            call()
            taken.append(perf_counter() - start)
    return [1000 * statistics.median(taken) for taken in times]


def ours(kind: str, severity: int, image: NDArray[np.uint8]) -> Callable[[], object]:
    """Return a call of this project's corruption; every call draws from a random stream of its own."""
    corruption = CORRUPTIONS.parse({"kind": kind, "severity": severity, "table": "imagenet_c"})
    rng, count = Rng(0).at("benchmark", kind), iter(range(1 << 60))
    return lambda: corruption(image, rng.at(next(count)))


def theirs(kind: str, severity: int, image: NDArray[np.uint8]) -> Callable[[], object]:
    """Return a call of the peer's corruption."""
    from imagecorruptions import corrupt

    return lambda: corrupt(image, severity, kind)


def sample(size: int) -> NDArray[np.uint8]:
    """Return a photo of size x size pixels."""
    import cv2
    import numpy as np
    import skimage.data

    photo: NDArray[np.uint8] = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    return np.asarray(cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def measure(kinds: list[str], size: int, options: argparse.Namespace, *, peer: bool) -> None:
    """Print the table for one size."""
    image = sample(size)
    print(f"\n{size}x{size}, severity {options.severity}, ms an image")
    print(f"{'kind':20}{'ours':>9}" + (f"{'peer':>9}{'ratio':>8}" if peer else ""))
    rows: dict[str, list[float]] = {}
    for kind in kinds:
        makers = [ours, theirs] if peer else [ours]
        calls = [maker(kind, options.severity, image) for maker in makers]
        rows[kind] = milliseconds(calls, options.repeats, options.seconds)
        _row(kind, rows[kind])
    common = [rows[kind] for kind in COMMON if kind in rows]
    if common:
        _row(
            f"mean of {len(common)} common", [statistics.mean(column) for column in zip(*common, strict=True)]
        )
    missing = [kind for kind in COMMON if kind not in rows]
    if missing:
        print(f"not measured: {', '.join(missing)}")


def _row(name: str, times: list[float]) -> None:
    cells = "".join(f"{time:9.3f}" for time in times)
    ratio = f"{times[1] / times[0]:7.1f}x" if len(times) == 2 else ""
    print(f"{name:20}{cells}{ratio}", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 32])
    parser.add_argument("--severity", type=int, default=3, choices=range(1, 6))
    parser.add_argument("--kinds", nargs="+", default=[*COMMON, *EXTRA], choices=[*COMMON, *EXTRA])
    parser.add_argument("--repeats", type=int, default=15, help="at least so many timings of each call")
    parser.add_argument("--seconds", type=float, default=0.2, help="at least so long for each kind")
    options = parser.parse_args()

    # Before numpy is imported: its linear algebra reads them then.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    peer = importlib.util.find_spec("imagecorruptions") is not None
    kinds = [kind for kind in options.kinds if kind in CORRUPTIONS.kinds]
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, OpenCV {cv2.__version__}"
    print(f"{platform.machine()}, {versions}")
    print("one thread for both libraries; ratio = time of the peer / our time")
    if not peer:
        print("The peer imagecorruptions is not installed: our times only.")
        print("To compare: pip install --no-deps imagecorruptions-imaug && pip install numba")
    for size in options.sizes:
        measure(kinds, size, options, peer=peer)


if __name__ == "__main__":
    main()
