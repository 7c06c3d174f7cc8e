"""A pool of spawned processes on this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait as wait_for_sentinel
from typing import Any, ClassVar

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.registering import refuse_unsendable
from clearsight.data.executors.contract import AHEAD, J, Parcel, R, U
from clearsight.data.executors.main_guard import refuse_unguarded
from clearsight.data.executors.worker_setup import set_up_worker


@dataclass(frozen=True)
class ProcessPool:
    """Does units in spawned processes, each with one thread of OpenCV.

    ``start`` must be a function of a module, and job, units and results plain enough to be sent.

    Attributes:
        workers: number of processes.
        where: place that the error names when a process died.
        hint: what to do then.
    """

    shares_disk: ClassVar[bool] = True

    workers: int
    where: str
    hint: str = "run again to go on; fewer workers need less memory"

    def map(
        self,
        start: Callable[[J], Callable[..., R]],
        job: J,
        units: Iterable[U],
        pack: Callable[[U], Parcel] | None = None,
    ) -> Generator[tuple[U, R], None, None]:
        """Yield every unit with its result, in the order in which they finish; units are not packed.

        Raises:
            RunError: a process died.
            ConfigError: the job holds a kind that no other process can import, or the script has no guard.
        """
        refuse_unsendable(job)
        refuse_unguarded(self.workers)
        waiting = iter(units)
        others = set(active_children())
        pool = ProcessPoolExecutor(self.workers, get_context("spawn"), _begin, (start, job))
        running: dict[Future[Any], U] = {}
        try:
            for unit in islice(waiting, AHEAD * self.workers):
                running[pool.submit(_work, unit)] = unit
            while running:
                ready, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield running.pop(future), future.result()
                    for unit in islice(waiting, 1):
                        running[pool.submit(_work, unit)] = unit
        except BrokenProcessPool:
            raise RunError(
                "a worker process died (out of memory, or killed)", where=self.where, hint=self.hint
            ) from None
        except BaseException as error:
            # Whoever stops the program does not wait for units to end; what they wrote is whole or not there.
            if not isinstance(error, Exception):
                for process in set(active_children()) - others:
                    process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_WORKER: list[Callable[[Any], Any]] = []
"""What does the units in this worker process."""


def _begin(start: Callable[[Any], Callable[[Any], Any]], job: Any) -> None:
    # Ctrl-C reaches the whole group; the parent decides when its workers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_worker()
    parent = parent_process()
    if parent is not None:
        # A worker whose parent was killed would wait for work forever.
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()
    _WORKER[:] = [start(job)]


def _leave_with(sentinel: int) -> None:
    wait_for_sentinel([sentinel])
    os._exit(1)


def _work(unit: Any) -> Any:
    return _WORKER[0](unit)
