"""``clearsight init``: a config from what a user has, that can be checked and run as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_onnx import tiny

import clearsight
from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.pipelines.cli.init import command

NET = """
from torch import nn


def make():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def init(images: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return the command with defaults, in the folder above `images`."""
    monkeypatch.chdir(images.parent)
    Path("net.py").write_text(NET)
    defaults: dict[str, Any] = {
        "images": "images",
        "classifier": "net.py:make",
        "restorers": (),
        "classes": None,
        "attack": False,
        "force": False,
    }
    return lambda out="my.yaml", **changed: command(Path(out), **(defaults | changed))


def test_a_config_is_written_that_holds(
    init: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    init(restorers=["denoise", "median", "median"], attack=True)
    assert "clearsight run my.yaml" in capsys.readouterr().out
    _, config = read_evaluate(Path("my.yaml"))
    assert {name: [*graph.parts] for name, graph in config.graphs().items()} == {
        "plain": ["classify"],
        "denoise+classify": ["denoise", "classify"],
        "median+classify": ["median", "classify"],
        "median-2+classify": ["median-2", "classify"],
    }
    assert config.parts["classify"].model_dump()["classes"] == 3
    assert config.parts["denoise"].weights is not None
    assert list(config.attacks) == ["none", "pgd"] or "pgd" in config.attacks
    assert config.compare is not None
    # Short enough to be read: a line an entry.
    text = Path("my.yaml").read_text()
    assert "  classify: {kind: python, call: 'net.py:make', classes: 3}\n" in text
    assert len(text.splitlines()) < 25
    assert clearsight.check("my.yaml").name == "my"


def test_files_and_weights_are_recognised(init: Callable[..., None]) -> None:
    tiny(Path("net.onnx"))
    init("a.yaml", classifier="net.onnx")
    init("b.yaml", classifier="signs-standard-v1", restorers=["clarity"])
    _, first = read_evaluate(Path("a.yaml"))
    assert first.parts["classify"].name == "onnx"
    _, second = read_evaluate(Path("b.yaml"))
    assert second.parts["classify"].weights == "signs-standard-v1"


def test_what_is_missing_is_asked_for_or_named(init: Callable[..., None]) -> None:
    asked = []

    def answer(question: str) -> str:
        asked.append(question)
        return "images" if "Images" in question else "net.py:make"

    init("a.yaml", images=None, classifier=None, ask=answer)
    assert [question.partition(" ")[0] for question in asked] == ["Images", "Classifier"]
    assert read_evaluate(Path("a.yaml"))[1].data.model_dump()["path"] == "images"
    with pytest.raises(ConfigError, match="--images: is needed; Images "):
        init("b.yaml", images=None, ask=lambda question: "")


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"images": "nowhere"}, DataError, "no such file or folder"),
        ({"images": "images/red"}, DataError, "no sub-folders, so there are no labels"),
        ({"classifier": "small_convnet"}, ConfigError, "too little|without weights"),
        ({"restorers": ["medain"]}, ConfigError, "did you mean 'median'"),
    ],
)
def test_what_means_nothing_is_refused_and_nothing_written(
    changed: dict[str, Any], error: type[Exception], match: str, init: Callable[..., None]
) -> None:
    with pytest.raises(error, match=match):
        init(**changed)
    assert not Path("my.yaml").exists()


def test_a_file_that_is_there_is_kept(init: Callable[..., None]) -> None:
    Path("my.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="is there already; name another file, or add --force"):
        init()
    assert Path("my.yaml").read_text() == "mine"
    init(force=True)
    assert "task: evaluate" in Path("my.yaml").read_text()


def test_it_is_a_command(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images.parent)
    Path("net.py").write_text(NET)
    words = ["init", "it.yaml", "--images", "images", "--classifier", "net.py:make", "--restorer", "gamma"]
    with pytest.raises(SystemExit) as done:
        main(words)
    assert not done.value.code
    assert read_evaluate(Path("it.yaml"))[1].name == "it"
