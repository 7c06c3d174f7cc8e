"""The simulation of many machines: what it must give where the answer is known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def benchmark() -> Any:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "scaling.py"
    spec = importlib.util.spec_from_file_location("scaling_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def model(benchmark: Any, **changes: float) -> Any:
    free: dict[str, float] = {
        **{"chunks": 40, "conditions": 5, "unit": 36.0, "spread": 0.0, "straggler": 0.0, "decode": 0.0},
        **{"handle": 0.0, "megabytes": 0.0, "bandwidth": 1.0, "life": 1e12, "gone": 0.0, "cores": 2},
    }
    return benchmark.Model(**(free | changes))


def test_without_costs_time_is_work_divided_by_cores(benchmark: Any) -> None:
    # 200 units of a hundredth of an hour.
    for machines, hours in ((1, 1.0), (10, 0.1)):
        found = benchmark.simulate(model(benchmark), machines)
        assert found.hours == pytest.approx(hours)
        assert found.efficiency == pytest.approx(1.0)
        assert (found.driver, found.lost) == (0.0, 0)


def test_a_driver_that_costs_more_than_the_units_is_what_takes_the_time(benchmark: Any) -> None:
    found = benchmark.simulate(model(benchmark, handle=18.0), 100)
    assert found.hours == pytest.approx((200 * 18.0 + 36.0) / 3600)
    assert found.driver > 0.98
    decoding = benchmark.simulate(model(benchmark, decode=90.0), 100)
    assert decoding.hours == pytest.approx((40 * 90.0 + 36.0) / 3600)


def test_machines_that_die_cost_their_units_again(benchmark: Any) -> None:
    whole = benchmark.simulate(model(benchmark), 5)
    dying = benchmark.simulate(model(benchmark, life=600.0, gone=60.0), 5)
    assert dying.lost > 5
    assert dying.hours > whole.hours
    assert dying == benchmark.simulate(model(benchmark, life=600.0, gone=60.0), 5)
