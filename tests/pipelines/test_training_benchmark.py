"""The benchmark of training: what it compares does the same work."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clearsight.data.contract.rng import Rng


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    pytest.importorskip("torchattacks")
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "training.py"
    spec = importlib.util.spec_from_file_location("training_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = Rng(0).torch()
    return [
        (torch.rand(6, 3, 16, 16, generator=generator), torch.randint(10, (6,), generator=generator))
        for _ in range(2)
    ]


@pytest.mark.slow
def test_passes_modes_and_table(benchmark: Any) -> None:
    start = benchmark.network(width=8)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    runners = benchmark.contestants(start, "cpu")
    modes: dict[str, list[bool]] = {name: [] for name in runners}
    for name, runner in runners.items():
        norm = next(each for each in runner.model.modules() if isinstance(each, nn.BatchNorm2d))
        norm.register_forward_hook(lambda layer, *_, to=modes[name]: to.append(layer.training))
    benchmark.measure(runners, batches(), turns=2, warm_up=0)
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    whole = [False] * 10 + [True]
    for name in (benchmark.BASE, f"{benchmark.BASE}, channels last", "adversarial, 10 steps"):
        assert modes[name] == whole * 2
        assert runners[name].passes == [10.0, 10.0]
    assert modes["adversarial, 1 step (N-FGSM)"] == [False, True] * 2
    assert all(1.0 <= each <= 10.0 for each in runners["fat, tau 0"].passes)
    for runner in runners.values():
        assert len(runner.seconds) == 2
        assert any(not torch.equal(value, before[name]) for name, value in runner.model.state_dict().items())
    lines = benchmark.table(runners, 6).splitlines()
    assert len(lines) == 2 + len(runners)
    assert "| 1.00x | 10.00 |" in lines[2]


def test_network_before_the_turns(benchmark: Any) -> None:
    start = benchmark.network(width=8)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            start.state_dict().values(), benchmark.network(width=8).state_dict().values(), strict=True
        )
    )
    trained = benchmark.prepared(start, batches(), 2, "cpu")
    weights = [each for each in trained.parameters() if each.dim() == 4]
    assert all(each.is_contiguous() for each in weights)
    assert not torch.equal(weights[0], next(each for each in start.parameters() if each.dim() == 4))
