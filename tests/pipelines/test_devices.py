"""The devices that ``--device`` can name, and the precision that networks are measured in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.disk_use import disk_use
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.grid import make_grid
from clearsight.pipelines.systems.device import choose_device
from clearsight.pipelines.systems.graph import wire
from clearsight.pipelines.systems.precision import compute_in

CONFIG: dict[str, Any] = {
    "task": "evaluate",
    "name": "formats",
    "data": {"kind": "signs", "split": "test", "count": 24, "size": 32},
    "parts": {
        "smooth": {"kind": "median"},
        "net": {"kind": "small_convnet", "weights": "signs-standard-v1"},
    },
    "systems": {"plain": ["smooth", "net"]},
    "conditions": {"clean": {"kind": "identity"}},
    "images": 2,
}


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda:2", 2, "there is no CUDA device 2 here"),
        ("cuda", 0, "there is no CUDA device here"),
        ("mps", 0, "there is no MPS device here"),
        ("gpu", 2, "unknown device 'gpu'"),
        ("cuda:", 2, "unknown device 'cuda:'"),
        ("cuda:-1", 2, "unknown device 'cuda:-1'"),
    ],
)
def test_devices(name: str, gpus: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if " " in expected:
        with pytest.raises(ConfigError, match=expected):
            choose_device(name)
    else:
        assert choose_device(name) == expected


def test_networks_compute_in_bf16_and_give_fp32() -> None:
    config = Evaluate.model_validate(CONFIG)
    graph = wire(config.systems["plain"], config.parts)
    exact, coarse = graph.build(), graph.build()
    compute_in(coarse, "bf16", "cpu")
    inside: list[torch.dtype] = []
    network = coarse.get_submodule("_modules_by_number.1.network")
    convolution = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    for module in (network, convolution):
        module.register_forward_hook(lambda *told: inside.append(told[-1].dtype))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    values, other = exact.trace(images), coarse.trace(images)
    assert torch.equal(values["smooth"], other["smooth"])
    assert set(inside) == {torch.bfloat16, torch.float32}
    away = ((values["out"] - other["out"]).abs().max() / values["out"].abs().max()).detach()
    assert 1e-5 < float(away) < 0.05
    (gradient,) = torch.autograd.grad(other["out"].sum(), images)
    assert gradient.dtype is torch.float32
    assert gradient.abs().max() > 0


@pytest.mark.slow
def test_a_run_says_its_precision_and_shares_no_cell_with_another(tmp_path: Path) -> None:
    exact = Evaluate.model_validate(CONFIG)
    coarse = Evaluate.model_validate(CONFIG | {"precision": "bf16"})
    assert "precision" not in exact.identity()
    keys = [
        {cell.key for cell in prepare(each, root=tmp_path, device="cpu").cells} for each in (exact, coarse)
    ]
    assert not keys[0] & keys[1]
    folder = run(coarse, root=tmp_path, workers=1, device="cpu")
    assert '"precision": "bf16"' in folder.environment.read_text()
    assert "bf16" in folder.report.read_text()


def test_bounds_are_refused_for_rounded_networks() -> None:
    content = CONFIG | {"precision": "bf16", "certify": {"sure": {"kind": "ibp", "eps": "1/255"}}}
    with pytest.raises(ValueError, match="bounds do not hold for networks that round to bf16"):
        Evaluate.model_validate(content)


@pytest.mark.slow
def test_the_disk_that_a_run_takes_is_told_before_it(tmp_path: Path) -> None:
    config = Evaluate.model_validate(CONFIG | {"chunk": 8})
    told = disk_use(config, make_grid(config), 24, {(32, 32): 24})
    folder = run(config, root=tmp_path, workers=1, device="cpu")
    files = [path for path in folder.path.rglob("*") if path.is_file() and path != folder.report]
    taken = sum(-(-path.stat().st_size // 4096) * 4096 for path in (files) if path.parent != folder.path)
    assert 0.6 < told / taken < 1.7
