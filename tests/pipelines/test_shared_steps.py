"""What several systems compute alike is computed once, and the figures are those of computing it for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation import shared_steps
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.evaluation.shared_steps import Clock, SharedSteps
from clearsight.pipelines.systems.graph import wire
from clearsight.restore.classical.gamma import Gamma
from clearsight.restore.classical.median import Median

Make = Callable[..., Evaluate]

PARTS = {"bright": Gamma(gamma=0.5), "smooth": Median(), "dark": Gamma(gamma=2.0)}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each kind of part computes."""
    counts: Counter[str] = Counter()
    for spec in (Gamma, Median):

        def restore(
            self: Any, x: torch.Tensor, network: Any, real: Callable[..., torch.Tensor] = spec.restore
        ) -> torch.Tensor:
            counts[self.kind] += 1
            return real(self, x, network)

        monkeypatch.setattr(spec, "restore", restore)
    return counts


def traced(shared: SharedSteps, names: list[str], x: torch.Tensor, batch: int = 0) -> torch.Tensor:
    graph = wire(names, PARTS)
    around = shared.around(graph.step_keys(), batch, Clock("cpu"))
    return graph.build().trace(x, around)["out"]


def test_a_common_beginning_is_computed_once(computed: Counter[str]) -> None:
    chains = [["bright", "smooth"], ["bright", "smooth", "dark"], ["dark", "smooth"]]
    shared = SharedSteps(wire(chain, PARTS).step_keys() for chain in chains)
    x = torch.rand(2, 3, 12, 14, generator=torch.Generator().manual_seed(0))
    found = [traced(shared, chain, x) for chain in chains]
    assert computed == {"gamma": 3, "median": 2}
    for chain, out in zip(chains, found, strict=True):
        assert torch.equal(out, wire(chain, PARTS).build()(x))


def test_other_batches_are_other_images() -> None:
    shared = SharedSteps([wire(["bright"], PARTS).step_keys()] * 2)
    x, y = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(traced(shared, ["bright"], x, 0), traced(shared, ["bright"], y, 1))


def test_what_is_too_large_is_computed_again(computed: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_steps, "KEPT_BYTES", 1000)
    shared = SharedSteps([wire(["bright"], PARTS).step_keys()] * 2)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(traced(shared, ["bright"], x), traced(shared, ["bright"], x))
    assert computed["gamma"] == 2


def test_who_gets_it_is_charged_what_it_took() -> None:
    keys = wire(["smooth"], PARTS).step_keys()
    shared, clocks = SharedSteps([keys, keys]), (Clock("cpu"), Clock("cpu"))
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for clock in clocks:
        wire(["smooth"], PARTS).build().trace(x, shared.around(keys, 0, clock))
    assert clocks[0].seconds == clocks[1].seconds
    assert clocks[0].seconds["smooth"] > 0


def test_a_run_has_the_same_results(
    make_config: Make, tmp_path: Path, computed: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {
        "smooth": {"kind": "median"},
        "dark": {"kind": "gamma", "gamma": 2.0},
        "classify": {"kind": "python", "call": "toy:brightest", "classes": 3},
    }
    systems = {"plain": ["classify"], "one": ["smooth", "classify"], "two": ["smooth", "dark", "classify"]}

    def results(name: str) -> tuple[bytes, int]:
        computed.clear()
        path = run(make_config(parts=parts, systems=systems), root=tmp_path / name, workers=1).path
        return (path / "results.parquet").read_bytes(), computed["median"]

    together, few = results("together")
    monkeypatch.setattr(shared_steps, "KEPT_BYTES", 0)
    apart, many = results("apart")
    assert together == apart
    # Besides, a run tries its systems on a few images before it begins.
    assert 0 < few < many
