"""Commands on cards: `weights list` and `list restorers` read figures of any kind that a card may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clearsight.data.weights import Weights, shipped
from clearsight.pipelines.cli import weights as commands
from clearsight.pipelines.cli.weights import headline

SHARE = {"low": 0.4, "high": 0.6}


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ({"accuracy": 0.5, **SHARE}, "50.0 % [40.0, 60.0]"),
        ({"accuracy": 0.5, **SHARE, "pgd-5": {"accuracy": 0.2, **SHARE}}, "50.0 % [40.0, 60.0]"),
        ({"sigma 25": {"psnr": 30.5, "low": 30.0, "high": 31.0}}, "sigma 25 30.50 dB [30.00, 31.00]"),
        ({"clean": {"agreement": 0.5, **SHARE}}, "clean 50.0 % [40.0, 60.0] agreement"),
        ({"noise": {"named": 0.5, **SHARE}}, "noise named 50.0 % [40.0, 60.0]"),
        ({"clean": {"left_alone": 0.5, **SHARE}}, "clean left alone 50.0 % [40.0, 60.0]"),
        ({"something": {"else": 1}, "note": "words", "number": 3}, ""),
        ({}, ""),
    ],
)
def test_figures_of_any_kind_are_words(figure: dict[str, Any], words: str) -> None:
    assert headline(figure) == words


def test_every_shipped_card_is_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    commands.list_command()
    told = capsys.readouterr().out
    for weights in shipped():
        line = next(line for line in told.splitlines() if line.startswith(f"{weights.card['id']} "))
        assert "%" in line or "dB" in line, line


def test_a_card_of_another_kind_does_not_end_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {
        "id": "odd-v1",
        "spec": {"kind": "a_kind_of_tomorrow"},
        "data": {"about": "none"},
        "figures": {"test": {"psnr": {"value": 1}}, "note": "text", "list": [1, 2], "none": None},
        "licence": "Apache-2.0",
    }
    monkeypatch.setattr(commands, "shipped", lambda: iter([Weights(Path("odd-v1"), odd)]))
    commands.list_command()
    assert "odd-v1" in capsys.readouterr().out
