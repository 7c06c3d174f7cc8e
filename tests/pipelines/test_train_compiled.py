from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from training_toy import signs

from clearsight.data.contract.errors import ConfigError
from clearsight.data.weights import state
from clearsight.pipelines.training import fresh
from clearsight.pipelines.training.loop import train

MODEL = {"kind": "small_convnet", "width": 8, "blocks": 1}


def test_a_network_that_would_crash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "layout", lambda *_: torch.contiguous_format)
    with pytest.raises(ConfigError, match=r"compile: torch crashes .* strided 1x1 convolutions"):
        train(signs(compile=True), device="cpu", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    method = {"kind": "fat", "steps": 2, "tau": [0], "tau_until": []}
    found = [
        train(
            signs(method=method, model=MODEL, epochs=1, compile=compiled),
            device="cpu",
            folder=tmp_path / str(compiled),
        )
        for compiled in (False, True)
    ]
    plain, compiled = (state(str(each.weights.folder)) for each in found)
    assert plain.keys() == compiled.keys()
    assert all(torch.allclose(plain[name], value, atol=2e-3) for name, value in compiled.items())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_learns_in_half_precision(tmp_path: Path) -> None:
    told = train(signs(model=MODEL, epochs=1, compile=True, precision="bf16"), device="cpu", folder=tmp_path)
    assert told.weights.card["precision"] == "bf16"
    assert all(value.isfinite().all() for value in state(str(told.weights.folder)).values())
