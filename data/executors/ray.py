"""Units on a Ray cluster. The only file that imports Ray, and only when it is used.

Workers see no disk of the driver: a unit travels with what it needs, and files travel back through a mailbox
(an actor on the driver's machine) while it goes on. What a unit has reported is therefore kept when its
machine dies, and the next try begins there.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from time import monotonic
from typing import Any, ClassVar
from uuid import uuid4

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.contract.registering import refuse_unsendable
from clearsight.data.cores import usable_cores
from clearsight.data.disk import LOCAL
from clearsight.data.executors.contract import AHEAD, J, Parcel, R, Sent, U
from clearsight.data.executors.mailbox import PAUSE, Mailbox, Post
from clearsight.data.executors.resources import Resources
from clearsight.data.executors.tries import DEATHS, TRIES, Try, reason_of
from clearsight.data.executors.worker_setup import set_up_worker

log = logging.getLogger("clearsight")
KEPT = 4
"""Shared values that stay in the object store although no unit that is submitted needs them."""
LOOK = 10.0
"""Seconds between two looks at which machines there are."""
GIB = 1 << 30


@dataclass(frozen=True)
class OnRay:
    """Does units on a Ray cluster, again elsewhere where a machine or a process dies or a unit hangs.

    ``start`` must be a function of a module that workers can import; Ray pickles job, units and results.

    Attributes:
        workers: units at a time at most; 0: as many as the cluster has room for.
        where: place that errors name.
        hint: what to do when a unit failed for good.
        address: of the cluster; None: ``RAY_ADDRESS``, else a cluster on this machine is started.
        resources: of one unit.
    """

    shares_disk: ClassVar[bool] = False

    workers: int
    where: str
    hint: str
    address: str | None = None
    resources: Resources = field(default_factory=Resources)

    def map(
        self,
        start: Callable[[J], Callable[..., R]],
        job: J,
        units: Iterable[U],
        pack: Callable[[U], Parcel] | None = None,
    ) -> Generator[tuple[U, R], None, None]:
        """Yield every unit with its result, in the order in which they finish.

        Raises:
            ConfigError: Ray is not installed, or the job holds a kind that no other process can import.
            RunError: no cluster answers, or a unit failed on several tries.
        """
        refuse_unsendable(job)
        _connect(self.address, self.workers)
        with _Submitted(self, start, job, pack or _bare) as submitted:
            yield from submitted.results(iter(units))


class _Submitted:
    """The units of one call of `OnRay.map` that are on their way."""

    def __init__(
        self,
        how: OnRay,
        start: Callable[[Any], Callable[..., Any]],
        job: Any,
        pack: Callable[[Any], Parcel],
    ) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.how, self.pack = how, pack
        # Its annotations do not say what a remote function or an actor is.
        self.ray: Any = ray
        self.running: dict[Any, Try] = {}
        self.shared: OrderedDict[Hashable, Any] = OrderedDict()
        self.tags = 0
        self.looked, self.slots, self.emptied = -inf, 1, monotonic()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # It dies with the driver, and with nothing else.
        self.mailbox: Any = self.ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self.token = uuid4().hex
        # In a list, so that it is fetched by whoever needs it, not for every unit.
        self.common = [ray.put((start, job))]
        asked = how.resources
        self.function = ray.remote(_do)
        self.options = {
            "num_cpus": asked.cpus,
            "num_gpus": asked.gpus,
            "memory": None if asked.memory is None else int(asked.memory * GIB),
            "max_retries": 0,
        }

    def __enter__(self) -> _Submitted:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what is still running; what it posted is kept."""
        for ref in self.running:
            self.ray.cancel(ref, force=True)
        self.ray.kill(self.mailbox)

    def results(self, waiting: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        """Submit units as there is room, and yield them with their results."""
        while True:
            for unit in islice(waiting, max(0, self._room() - len(self.running))):
                self._submit(Try(unit, 0))
            if not self.running:
                return
            for ref in self._wait():
                yield from self._taken(ref)
            if monotonic() - self.emptied > PAUSE:
                self._empty_mailbox()
            self._stop_late()

    def _taken(self, ref: Any) -> Iterator[tuple[Any, Any]]:
        """Yield a unit that is done with its result, or submit it again."""
        try:
            result, posted, kept = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            self._empty_mailbox()
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            self._empty_mailbox()
            self._again(self.running.pop(ref), error)
        else:
            if posted:
                self._empty_mailbox()
            for change in kept:
                LOCAL.change(change)
            yield self.running.pop(ref).unit, result

    def _wait(self) -> list[Any]:
        """Return the units that are done, after a pause at most."""
        try:
            waiting = list(self.running)
            ready, _ = self.ray.wait(waiting, num_returns=1, timeout=PAUSE)
            if ready:
                # All that are done by now, so that many machines cost the driver one look.
                ready, _ = self.ray.wait(waiting, num_returns=len(waiting), timeout=0)
        except SystemError as error:
            # What a signal handler raises inside Ray's compiled code comes out as the cause of this.
            raise error.__cause__ or error from None
        return list(ready)

    def _room(self) -> int:
        """Return how many units may be on their way: some more than the machines of now can do at a time."""
        if monotonic() - self.looked > LOOK:
            self.looked, self.slots = monotonic(), self._slots()
        return AHEAD * (min(self.slots, self.how.workers) if self.how.workers else self.slots)

    def _slots(self) -> int:
        asked, found = self.how.resources, 0
        for node in self.ray.nodes():
            if node["Alive"]:
                there = node["Resources"]
                rooms = [there.get("CPU", 0) // asked.cpus] if asked.cpus else []
                rooms += [there.get("GPU", 0) // asked.gpus] if asked.gpus else []
                rooms += [there.get("memory", 0) // (asked.memory * GIB)] if asked.memory else []
                found += int(min(rooms, default=1))
        if not found:
            log.warning("no machine of the Ray cluster has what a unit needs (%s): waiting for one", asked)
        return max(1, found)

    def _submit(self, trial: Try) -> None:
        parcel = self.pack(trial.unit)
        if parcel.key not in self.shared:
            self.shared[parcel.key] = self.ray.put(parcel.load())
        self.shared.move_to_end(parcel.key)
        self.tags += 1
        options = self.options | {"scheduling_strategy": self._elsewhere(trial.node)}
        ref = self.function.options(**options).remote(
            *(self.token, self.common, self.mailbox, self.tags, parcel.unit, parcel.files),
            self.shared[parcel.key],
        )
        self.running[ref] = Try(trial.unit, self.tags, trial.failures, trial.deaths)
        while len(self.shared) > KEPT:
            self.shared.popitem(last=False)

    def _elsewhere(self, failed: str) -> Any:
        """Return the strategy that prefers another machine than the one on which a unit failed, if it did."""
        if not failed:
            return "DEFAULT"
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        others = [node["NodeID"] for node in self.ray.nodes() if node["Alive"] and node["NodeID"] != failed]
        # Spread over them: several units may have failed on one machine.
        if not others:
            return "DEFAULT"
        return NodeAffinitySchedulingStrategy(others[self.tags % len(others)], soft=True)

    def _empty_mailbox(self) -> None:
        """Change the files that workers posted, and note which units have begun."""
        self.emptied = monotonic()
        current = {trial.tag: trial for trial in self.running.values()}
        for tag, message in self.ray.get(self.mailbox.take.remote()):
            # What a stopped try posts late could undo what the next one did.
            if (trial := current.get(tag)) is None:
                continue
            if isinstance(message, str):
                trial.node, trial.since = message, monotonic()
            else:
                for change in message:
                    LOCAL.change(change)

    def _stop_late(self) -> None:
        limit = self.how.resources.seconds
        for ref, trial in self.running.items():
            if limit is not None and not trial.late and monotonic() - trial.since > limit:
                trial.late = True
                self.ray.cancel(ref, force=True)

    def _again(self, trial: Try, error: Exception) -> None:
        """Submit a unit once more.

        Raises:
            RunError: it has failed too often.
        """
        dead = isinstance(error, self.ray.exceptions.NodeDiedError) and not trial.late
        trial.deaths, trial.failures = trial.deaths + dead, trial.failures + (not dead)
        reason = reason_of(error, trial, self.how.resources)
        log.warning("%s: %s", trial.unit, reason)
        if trial.failures >= TRIES or trial.deaths >= DEATHS:
            tries = trial.failures + trial.deaths
            raise RunError(
                f"{trial.unit} failed {tries} times, at last: {reason}",
                where=self.how.where,
                hint=self.how.hint,
            )
        self._submit(trial)


def _bare(unit: Any) -> Parcel:
    return Parcel(unit, None, lambda: None, {})


def _connect(address: str | None, workers: int) -> None:
    """Connect to a cluster, once in a process; start one on this machine where no address is known."""
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError:
        raise ConfigError(
            "Ray is not installed", where="--on ray", hint="pip install 'clearsight[ray]'"
        ) from None
    if ray.is_initialized():
        return
    told = address or os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {"num_cpus": workers or usable_cores(), "include_dashboard": False}
    with _own_signals():
        try:
            ray.init(
                address=told or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if told else own),
            )
        except ConnectionError as error:
            raise RunError(
                f"no Ray cluster answers: {error}", where=told or "", hint="start one: ray start --head"
            ) from None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this program's handlers: Ray puts one of its own in place of that of SIGTERM."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


_DOING: dict[str, Callable[..., Any]] = {}
"""What does the units of the last job in this worker process, by the job's token."""


def _do(
    token: str,
    common: list[Any],
    mailbox: Any,
    tag: int,
    unit: Any,
    files: dict[Any, bytes],
    shared: Any,
) -> Any:
    """Do one unit, in a worker process."""
    # albumentations looks for a newer version on the network at import unless switched off.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import ray

    mailbox.put.remote(tag, ray.get_runtime_context().get_node_id())
    if token not in _DOING:
        set_up_worker()
        start, job = ray.get(common[0])
        _DOING.clear()
        _DOING[token] = start(job)
    with Post(lambda changes: mailbox.put.remote(tag, changes)) as post:
        result = _DOING[token](unit, Sent(shared, files, post))
    # The result must not overtake what was posted.
    ray.get(post.posted)
    return result, len(post.posted), post.kept
