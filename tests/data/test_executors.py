"""Executors: the same units with the same results, errors that come out, processes that end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.disk import LOCAL, Change, SentDisk
from clearsight.data.executors.choice import Backend, On, executor_for
from clearsight.data.executors.contract import Executor
from clearsight.data.executors.in_process import InProcess
from clearsight.data.executors.processes import ProcessPool
from clearsight.data.executors.ray import OnRay
from clearsight.data.executors.resources import Resources

EXECUTORS: list[Executor] = [InProcess(), ProcessPool(2, "here")]


def start_adding(job: int) -> Callable[[int], tuple[int, int]]:
    """A job that is a number to add; 13 is refused, 99 kills its process."""

    def add(unit: int) -> tuple[int, int]:
        if unit == 13:
            raise ValueError("13 is not for adding")
        if unit == 99:
            os._exit(3)
        return unit + job, os.getpid()

    return add


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda executor: type(executor).__name__)
def test_every_unit_comes_back_with_its_result(executor: Executor) -> None:
    with closing(executor.map(start_adding, 10, range(9))) as done:
        found = {unit: result for unit, (result, _) in done}
    assert found == {unit: unit + 10 for unit in range(9)}


@pytest.mark.slow
def test_a_pool_works_elsewhere_and_in_process_here() -> None:
    assert {pid for _, (_, pid) in InProcess().map(start_adding, 0, range(3))} == {os.getpid()}
    assert os.getpid() not in {pid for _, (_, pid) in ProcessPool(2, "here").map(start_adding, 0, range(3))}


def test_units_are_taken_as_there_is_room() -> None:
    taken: list[int] = []

    def units() -> Iterator[int]:
        for unit in range(100):
            taken.append(unit)
            yield unit

    with closing(ProcessPool(1, "here").map(start_adding, 0, units())) as done:
        next(done)
        assert len(taken) <= 3


@pytest.mark.parametrize("executor", EXECUTORS, ids=lambda executor: type(executor).__name__)
def test_an_error_of_a_unit_comes_out(executor: Executor) -> None:
    with pytest.raises(ValueError, match="13 is not for adding"):
        list(executor.map(start_adding, 0, [1, 13]))


def test_a_dead_process_says_what_to_do() -> None:
    with pytest.raises(RunError, match=r"here: a worker process died.*fewer"):
        list(ProcessPool(1, "here", "take fewer").map(start_adding, 0, [99]))


def test_one_worker_or_one_unit_needs_no_process() -> None:
    assert isinstance(executor_for(range(9), 1, where="here"), InProcess)
    assert isinstance(executor_for(range(1), 4, where="here"), InProcess)
    assert executor_for(range(3), 8, where="here") == ProcessPool(3, "here")
    assert isinstance(executor_for(range(9), 4, where="here", backend=Backend("local")), InProcess)


def test_nothing_to_do_needs_no_cluster() -> None:
    assert isinstance(executor_for((), 0, where="here", backend=Backend("ray")), InProcess)
    ray = executor_for(range(3), 0, where="here", backend=Backend("ray", "10.0.0.1:6379"))
    assert ray == OnRay(0, "here", ProcessPool.hint, "10.0.0.1:6379")


@pytest.mark.parametrize(
    ("on", "address", "told"),
    [("processes", "10.0.0.1:6379", "add --on ray"), ("ray", "ray://10.0.0.1:10001", "ray job submit")],
)
def test_an_address_that_does_not_fit_is_refused(on: On, address: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Backend(on, address)


def test_a_time_out_without_ray_is_refused() -> None:
    with pytest.raises(ConfigError, match="--unit-timeout: stops units on Ray only"):
        Backend(resources=Resources(seconds=3.0))


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"--on ray: Ray is not installed.*clearsight\[ray\]"):
        list(OnRay(1, "here", "").map(start_adding, 0, [1]))


def test_a_disk_elsewhere_posts_what_the_disk_here_does(tmp_path: Path) -> None:
    changes: list[Change] = []
    here, there = tmp_path / "a" / "file", tmp_path / "a" / "kept"
    disk = SentDisk({there: b"sent"}, changes.append)
    assert (disk.read(there), disk.read(here)) == (b"sent", None)
    disk.write(here, b"content")
    disk.remove(there)
    disk.remove(tmp_path / "neither sent nor written")
    assert changes == [(here, b"content"), (there, None)]
    LOCAL.write(there, b"sent")
    for change in changes:
        LOCAL.change(change)
    assert (LOCAL.read(here), LOCAL.read(there)) == (b"content", None)
