"""What several systems compute alike on the same images is computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from clearsight.pipelines.systems.device import wait_for

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.pipelines.systems.graph import Step
    from clearsight.pipelines.systems.system import Around

KEPT_BYTES = 256 << 20
"""Bytes of outputs that are kept for the systems to come; what goes beyond is computed again."""


@dataclass
class Clock:
    """Adds up the seconds of each part."""

    device: str
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: Step, compute: Callable[[], Tensor]) -> Tensor:
        """Compute a step's output."""
        start = perf_counter()
        out = compute()
        wait_for(self.device)
        self.add(step.part_name, perf_counter() - start)
        return out

    def add(self, part: str, seconds: float) -> None:
        """Add to the seconds of a part."""
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds


class SharedSteps:
    """Outputs of steps that more than one system of a chunk has, for that chunk's untouched batches."""

    def __init__(self, keys: Iterable[Mapping[str, str]]) -> None:
        """Note which steps occur more than once.

        Args:
            keys: `Graph.step_keys` of every system that the chunk's batches are sent through, each as often
                as they are.
        """
        often = Counter(key for each in keys for key in each.values())
        self._shared = frozenset(key for key, times in often.items() if times > 1)
        self._known: dict[tuple[int, str], tuple[Tensor, float]] = {}
        self._bytes = 0

    def around(self, keys: Mapping[str, str], batch: int, clock: Clock) -> Around:
        """Return what `System.trace` calls in place of computing.

        A system that gets an output from here is charged the seconds that it took when it was computed.

        Args:
            keys: of the steps of the system.
            batch: number of the batch in the chunk.
            clock: of the system.
        """

        def once(step: Step, compute: Callable[[], Tensor]) -> Tensor:
            key = keys.get(step.name)
            if key not in self._shared:
                return clock(step, compute)
            if (batch, key) in self._known:
                out, seconds = self._known[batch, key]
                clock.add(step.part_name, seconds)
                return out
            alone = Clock(clock.device)
            out = alone(step, compute)
            seconds = alone.seconds[step.part_name]
            clock.add(step.part_name, seconds)
            if self._bytes + out.nbytes <= KEPT_BYTES:
                self._known[batch, key] = out, seconds
                self._bytes += out.nbytes
            return out

        return once
