"""`Backend`: which executor a user asked for; `executor_for` makes it."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Literal, get_args

from clearsight.data.contract.errors import ConfigError
from clearsight.data.cores import processes, usable_cores
from clearsight.data.executors.contract import Executor
from clearsight.data.executors.in_process import InProcess
from clearsight.data.executors.processes import ProcessPool
from clearsight.data.executors.ray import OnRay
from clearsight.data.executors.resources import Resources

On = Literal["local", "processes", "ray"]
NAMES = get_args(On)


@dataclass(frozen=True)
class Backend:
    """Where units of work are to be done.

    Attributes:
        on: ``local`` (in this process), ``processes`` of this machine, or ``ray``.
        address: of a Ray cluster; None: that of ``RAY_ADDRESS``, else a cluster on this machine is started.
        resources: of one unit on Ray.
    """

    on: On = "processes"
    address: str | None = None
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        """Refuse what only Ray knows without Ray.

        Raises:
            ConfigError: an address or a time-out without ``ray``, or an address of Ray's client.
        """
        if self.resources.seconds is not None and self.on != "ray":
            raise ConfigError("stops units on Ray only", where="--unit-timeout", hint="add --on ray")
        if self.address is not None and self.on != "ray":
            raise ConfigError("is the address of a Ray cluster", where="--ray-address", hint="add --on ray")
        if (self.address or "").startswith("ray://"):
            raise ConfigError(
                "is an address of Ray's client, which has no object store of its own",
                where=f"--ray-address {self.address}",
                hint="run on a machine of the cluster (--ray-address HOST:6379), or use: ray job submit",
            )

    def at_once(self, workers: int, device: str) -> int:
        """Return for `executor_for` how many units of work on a device are done at a time.

        Args:
            workers: what the user asked for; 0: what fits, which a Ray cluster itself decides.
            device: ``cpu`` or ``cuda``.
        """
        return workers if self.on == "ray" else processes(workers, device)


def executor_for(
    units: Sized,
    workers: int,
    *,
    where: str,
    hint: str = ProcessPool.hint,
    backend: Backend | None = None,
) -> Executor:
    """Return an executor in this process where one is enough for the units, else what was asked for.

    Args:
        units: what there is to do.
        workers: processes at most; 0 means one a core, of this machine or of the Ray cluster.
        where: place that the error names when a process died.
        hint: what to do then.
        backend: what was asked for; processes of this machine where left out.
    """
    backend = backend or Backend()
    if backend.on == "ray" and len(units):
        return OnRay(workers, where, hint, backend.address, backend.resources)
    count = min(workers or usable_cores(), len(units))
    return InProcess() if count <= 1 or backend.on != "processes" else ProcessPool(count, where, hint)
