"""Processes of a training as threads of this one: what they tell each other goes through a list."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from clearsight.pipelines.training.ranks import Ranks

T = TypeVar("T")


class Table:
    """Where each thread puts a tensor and finds those of the others."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=60)
        self.places: list[Any] = [None] * size

    def swapped(self, rank: int, value: Tensor) -> list[Tensor]:
        self.places[rank] = value.clone()
        self.barrier.wait()
        every = list(self.places)
        self.barrier.wait()
        return every


class ThreadRanks(Ranks):
    def __init__(self, rank: int, table: Table) -> None:
        super().__init__(rank, len(table.places))
        self.table = table

    def leave(self) -> None:
        self.dividing = False

    def _add(self, x: Tensor) -> None:
        x.copy_(torch.stack(self.table.swapped(self.rank, x)).sum(0))

    def _collect(self, x: Tensor) -> list[Tensor]:
        every = self.table.swapped(self.rank, x)
        assert len({each.shape for each in every}) == 1
        return every

    def _tell(self, x: Tensor) -> None:
        first = self.table.swapped(self.rank, x)[0]
        assert first.shape == x.shape
        x.copy_(first)


def together(size: int, work: Callable[[Ranks], T]) -> list[T]:
    """Return what each of so many threads makes of its place among them."""
    table = Table(size)

    def one(rank: int) -> T:
        try:
            return work(ThreadRanks(rank, table))
        except BaseException:
            # The others must not wait for this one.
            table.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        running = [pool.submit(one, rank) for rank in range(size)]
        errors = [each.exception() for each in running]
        # A broken barrier is what the others saw of the first error.
        for error in sorted(filter(None, errors), key=lambda e: isinstance(e, threading.BrokenBarrierError)):
            raise error
        return [each.result() for each in running]
