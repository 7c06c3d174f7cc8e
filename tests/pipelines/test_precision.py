"""The number format of a training's steps: chosen by timing, kept on resume, never that of losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import training_toy as toy

from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.systems.precision import Precision, arithmetic, full_outputs
from clearsight.pipelines.training import loop, precision
from clearsight.pipelines.training.loop import train
from clearsight.pipelines.training.precision import ROUNDS, faster
from clearsight.restore.catalogue import RESTORERS

FORMATS: tuple[Precision, ...] = ("fp32", "bf16")


class Clock:
    """A clock that a step moves on."""

    def __init__(self) -> None:
        self.now, self.steps = 0.0, {"fp32": 0, "bf16": 0}

    def __call__(self) -> float:
        return self.now

    def step(self, **seconds: float) -> Callable[[Precision], None]:
        def once(told: Precision) -> None:
            self.steps[told] += 1
            # The first step of each is slow for another reason, and must not count.
            self.now += seconds[told] + (100.0 if self.steps[told] == 1 else 0.0)

        return once


@pytest.mark.parametrize(
    ("seconds", "expected", "tries"),
    [
        ({"fp32": 1.0, "bf16": 0.4}, "bf16", 1 + ROUNDS),
        ({"fp32": 1.0, "bf16": 1.2}, "fp32", 1 + ROUNDS),
        ({"fp32": 1.0, "bf16": 9.0}, "fp32", 2),
    ],
)
def test_the_faster_is_taken_and_the_hopeless_is_not_tried_for_long(
    seconds: dict[str, float], expected: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(precision, "perf_counter", clock)
    chosen, told = faster(clock.step(**seconds))
    assert chosen == expected
    assert told == pytest.approx(seconds)
    assert clock.steps == {"fp32": tries, "bf16": tries}


@pytest.mark.parametrize("told", FORMATS)
def test_losses_are_computed_from_fp32(told: Precision) -> None:
    classifier = CLASSIFIERS["small_convnet"].model_validate({"width": 4, "classes": 3}).build().train()
    restorer = RESTORERS["dncnn"].model_validate({"width": 8, "depth": 3}).build().train()
    images = torch.rand(2, 3, 16, 16)
    with arithmetic(told, "cpu"):
        # What the networks would give without: the test means something.
        assert classifier(images).dtype is {"fp32": torch.float32, "bf16": torch.bfloat16}[told]
        full_outputs([classifier, restorer])
        assert classifier(images).dtype is torch.float32
        assert restorer.network(images).dtype is torch.float32
        assert restorer.restored(images).dtype is torch.float32


@pytest.mark.slow
def test_the_choice_leaves_no_trace_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def chosen(expected: Precision) -> Callable[..., Any]:
        def stand_in(step: Callable[[Precision], None]) -> Any:
            for each in FORMATS:
                step(each)
                steps.append(each)
            return expected, {}

        return stand_in

    plain = train(toy.signs(epochs=1), folder=tmp_path / "plain", device="cpu")
    monkeypatch.setattr(loop, "faster", chosen("fp32"))
    auto = train(toy.signs(precision="auto", epochs=1), folder=tmp_path / "auto", device="cpu")
    assert steps == list(FORMATS)
    assert (plain.weights.folder / "model.safetensors").read_bytes() == (
        auto.weights.folder / "model.safetensors"
    ).read_bytes()
    assert (plain.weights.card["precision"], auto.weights.card["precision"]) == ("fp32", "fp32")

    # A run that is resumed asks no more: it goes on as it was begun.
    half = tmp_path / "half"
    monkeypatch.setattr(loop, "faster", chosen("bf16"))
    train(toy.signs(precision="auto", epochs=1), folder=half, device="cpu")
    monkeypatch.setattr(loop, "faster", chosen("fp32"))
    longer = train(toy.signs(precision="auto", epochs=2), folder=half, device="cpu")
    assert longer.weights.card["precision"] == "bf16"
    assert len(steps) == 4
