"""Progress without a terminal: a line every half minute; the card of weights in a few lines; completion."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from clearsight.data.weights import shipped
from clearsight.pipelines.cli import console
from clearsight.pipelines.cli.app import app, main
from clearsight.pipelines.cli.card import card_lines
from clearsight.pipelines.cli.console import Lines


def test_a_line_comes_every_half_minute_and_at_the_end() -> None:
    now = [0.0]
    said: list[str] = []
    lines = Lines(said.append, lambda: now[0])
    for done in range(0, 101, 10):
        lines("measure", done, 100)
        now[0] += 12.0
    lines("measure", 100, 100)
    # Looks at 0, 12, 24, 36, ...: lines at 36, 72, 108 seconds, and at the end.
    assert said == [
        "measure: 30 of 100, 36 s gone, about 1 min 24 s to go",
        "measure: 60 of 100, 1 min 12 s gone, about 48 s to go",
        "measure: 90 of 100, 1 min 48 s gone, about 12 s to go",
        "measure: 100 of 100, 2 min 0 s gone",
    ]
    said.clear()
    lines("read", 5, None)
    now[0] += 31
    lines("read", 9, None)
    lines.note("skipped x.png")
    assert said == ["read: 9, 31 s gone", "skipped x.png"]


def test_outside_of_a_terminal_lines_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(quiet=False) as tell:
        tell("read", 0, 2)
        tell("read", 2, 2)
    assert capsys.readouterr().err == "read: 2 of 2, 0 s gone\n"
    with console.progress(quiet=True) as tell:
        tell("read", 2, 2)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("weights", list(shipped()), ids=lambda weights: weights.folder.name)
def test_every_card_is_told_in_a_few_lines(weights) -> None:
    lines = list(card_lines(weights.card, weights.card["id"]))
    headings = [heading for heading, _ in lines]
    assert {"use", "network", "data", "training", "limits", "licence", "sha256"} <= set(headings)
    assert len(lines) < 20
    assert all(text for _, text in lines)
    assert dict(lines)["use"] == f"{{kind: {weights.card['spec']['kind']}, weights: {weights.card['id']}}}"


def test_show_prints_the_card_and_the_whole_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    for words, check in (
        (
            ["show", "signs-standard-v1"],
            lambda text: "17: stop, yield" in text and "{kind: small_convnet" in text,
        ),
        (["show", "signs-standard-v1", "--json"], lambda text: json.loads(text)["id"] == "signs-standard-v1"),
    ):
        with pytest.raises(SystemExit) as done:
            main(words)
        assert not done.value.code
        assert check(capsys.readouterr().out), words


def test_shells_can_complete() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "--install-completion" in shown
