"""How work scales: measured on this machine with processes and Ray, simulated for 10 to 1,000 machines.

``python benchmarks/scaling.py measure`` times units that wait (so that a loaded machine measures what handing
out costs, not its load) in this process, in one and two processes and on two raylets of one CPU each.
``python benchmarks/scaling.py memory`` shows the driver's memory over 100,000 synthetic images on Ray.
``python benchmarks/scaling.py simulate`` computes a run of ImageNet-C's size; the seconds are options.
"""

from __future__ import annotations

import argparse
import heapq
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from clearsight.data.contract.rng import Rng
from clearsight.data.executors.contract import Executor, Parcel, Sent
from clearsight.data.executors.in_process import InProcess
from clearsight.data.executors.processes import ProcessPool
from clearsight.data.executors.ray import OnRay

FILES, FILE_BYTES = 4, 6000
"""Files that a unit writes, as a chunk of one cell does, and their size."""
CONDITIONS = 75
"""Units that share the images of a chunk: the conditions of ImageNet-C."""


@dataclass(frozen=True)
class Waiting:
    """A job: each unit waits and writes files; ``shape`` is that of the images that it is sent."""

    seconds: float
    folder: Path
    shape: tuple[int, ...]


def start_waiting(job: Waiting) -> Callable[..., float]:
    """Return the function that does one unit."""

    def wait(unit: int, sent: Sent | None = None) -> float:
        from clearsight.data.disk import LOCAL

        time.sleep(job.seconds)
        disk = LOCAL if sent is None else sent.disk
        for number in range(FILES):
            disk.write(job.folder / f"{unit % 100}-{number}", bytes(FILE_BYTES))
        return 0.0 if sent is None else float(sent.shared[0, 0, 0, 0])

    return wait


def packed(job: Waiting, unit: int) -> Parcel:
    """Return a unit with the images of its chunk."""
    chunk = unit // CONDITIONS
    return Parcel(unit, chunk, lambda: np.full(job.shape, chunk % 256, np.uint8), {})


def timed(executor: Executor, job: Waiting, units: range) -> float:
    """Return the seconds of a unit in the second half of the units, when all processes have long begun."""
    half = len(units) // 2
    with closing(executor.map(start_waiting, job, units, lambda unit: packed(job, unit))) as results:
        for _ in range(half):
            next(results)
        begin = time.perf_counter()
        for _ in results:
            pass
        return (time.perf_counter() - begin) / (len(units) - half)


@contextmanager
def raylets(count: int) -> Iterator[None]:
    """Connect to a cluster of so many raylets of one CPU each on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def measure(seconds: float, count: int) -> str:
    """Return a table of throughput and overhead."""
    lines = ["| where | units a second | a unit costs more, ms | in % |", "| --- | ---: | ---: | ---: |"]
    with TemporaryDirectory() as folder:
        job, units = Waiting(seconds, Path(folder), (64, 64, 64, 3)), range(count)

        def line(name: str, executor: Executor, workers: int) -> None:
            each = timed(executor, job, units)
            more = each * workers - seconds
            lines.append(f"| {name} | {1 / each:.2f} | {1000 * more:.1f} | {100 * more / seconds:.1f} |")

        line("plain loop, this process", InProcess(), 1)
        line("1 process", ProcessPool(1, folder), 1)
        line("2 processes", ProcessPool(2, folder), 2)
        with raylets(2):
            line("Ray, two raylets of one CPU", OnRay(0, folder, ""), 2)
    return "\n".join(lines)


def memory(images: int, chunk: int, step: int) -> str:
    """Return the driver's resident memory as units of ``chunk`` images pass through a Ray cluster."""
    lines = ["| images | driver, MiB |", "| ---: | ---: |"]
    units, begin = images // chunk, time.perf_counter()
    with TemporaryDirectory() as folder, raylets(1):
        job = Waiting(0.0, Path(folder), (chunk, 64, 64, 3))

        def see(done: int) -> None:
            if done % max(1, units // step) == 0:
                lines.append(f"| {done * chunk:,} | {resident():.0f} |")

        executor = OnRay(0, folder, "")
        # A chunk of its own for every unit: nothing is shared.
        fresh = lambda unit: replace(packed(job, unit * CONDITIONS), unit=unit)  # noqa: E731
        with closing(executor.map(start_waiting, job, range(units), fresh)) as results:
            for done, _ in enumerate(results, 1):
                see(done)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.perf_counter() - begin
    return "\n".join([*lines, f"peak: {peak:.0f} MiB; {units} units in {seconds:.0f} s, starting included"])


def resident() -> float:
    """Return the MiB that this process holds, without what it shares with others."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize() / 2**20


@dataclass(frozen=True)
class Model:
    """What a simulation is made of; times in seconds.

    Attributes:
        unit: mean of a unit; ``spread`` the standard deviation of its logarithm.
        straggler: share of units that take ten times as long.
        decode: of a chunk in the driver, once for all its conditions.
        handle: of a unit in the driver: submitting, taking files, writing them.
        megabytes: of a chunk's images, sent once to each machine that works on it.
        bandwidth: of the driver, MB/s.
        life: mean time until a machine dies; it comes back after ``gone``.
        cores: units at a time of a machine.
    """

    chunks: int
    conditions: int
    unit: float
    spread: float
    straggler: float
    decode: float
    handle: float
    megabytes: float
    bandwidth: float
    life: float
    gone: float
    cores: int


@dataclass(frozen=True)
class Outcome:
    """What a simulation found: hours, share of core time that is useful, share of time the driver works."""

    hours: float
    efficiency: float
    driver: float
    lost: int


def simulate(model: Model, machines: int, seed: int = 0) -> Outcome:
    """Hand out the units of a run in the order of chunks, one driver, first free core first.

    The driver prepares one unit after the other; a machine that dies loses what its cores are at, and these
    units go to the end of the line.
    """
    rng = Rng(seed).at("scaling", machines).numpy()
    cores = [(0.0, core) for core in range(machines * model.cores)]
    heapq.heapify(cores)
    dies = rng.exponential(model.life, machines)
    total = model.chunks * model.conditions
    lengths = model.unit * np.exp(rng.normal(-(model.spread**2) / 2, model.spread, total))
    lengths = np.where(rng.random(total) < model.straggler, 10 * lengths, lengths)
    line = list(range(total - 1, -1, -1))
    decoded, holds = -1, dict[int, int]()
    driver = busy = last = 0.0
    lost = 0
    while line:
        unit = line.pop()
        chunk = unit // model.conditions
        free, core = heapq.heappop(cores)
        machine = core // model.cores
        cost = model.handle
        if chunk != decoded:
            cost, decoded = cost + model.decode, chunk
        if holds.get(machine) != chunk:
            cost, holds[machine] = cost + model.megabytes / model.bandwidth, chunk
        # Units are submitted ahead: the driver prepares one while cores are at work.
        driver += cost
        begin = max(free, driver)
        end = begin + float(lengths[unit])
        while dies[machine] < begin:
            dies[machine] += model.gone + rng.exponential(model.life)
        if dies[machine] < end:
            back = float(dies[machine]) + model.gone
            line.insert(0, unit)
            lost += 1
            heapq.heappush(cores, (back, core))
            continue
        busy, last = busy + float(lengths[unit]), max(last, end)
        heapq.heappush(cores, (end, core))
    return Outcome(last / 3600, busy / (last * machines * model.cores), driver / last, lost)


def simulation(model: Model) -> str:
    """Return a table for 1, 10, 100 and 1,000 machines."""
    lines = [
        "| machines | hours | core time used, % | driver at work, % | units lost with machines |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for machines in (1, 10, 100, 1000):
        found = simulate(model, machines)
        used, driver = 100 * found.efficiency, 100 * found.driver
        lines.append(f"| {machines:,} | {found.hours:.2f} | {used:.0f} | {driver:.0f} | {found.lost} |")
    return "\n".join(lines)


def main() -> None:
    """Read the options, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("measure", "memory", "simulate"))
    parser.add_argument("--seconds", type=float, default=1.0, help="of a unit that waits")
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--unit", type=float, default=12.0, help="simulate: seconds of a unit")
    parser.add_argument("--decode", type=float, default=0.6, help="simulate: seconds to decode a chunk")
    parser.add_argument("--handle", type=float, default=0.01, help="simulate: driver's seconds of a unit")
    parser.add_argument(
        "--megabytes", type=float, default=9.6, help="simulate: of a chunk, 64 x 224 x 224 x 3"
    )
    told = parser.parse_args()
    if told.what == "measure":
        print(measure(told.seconds, told.units))
    elif told.what == "memory":
        print(memory(told.images, 64, 10))
    else:
        model = Model(
            chunks=782,
            conditions=CONDITIONS,
            unit=told.unit,
            spread=0.2,
            straggler=0.005,
            decode=told.decode,
            handle=told.handle,
            megabytes=told.megabytes,
            bandwidth=1000.0,
            life=24 * 3600.0,
            gone=120.0,
            cores=8,
        )
        print(simulation(model))


if __name__ == "__main__":
    main()
