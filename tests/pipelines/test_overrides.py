from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.cli.overrides import overridden
from clearsight.pipelines.config.yaml_reader import Document, parse

TEXT = """
task: train
model: {kind: preact_resnet, depth: 10}
data: {kind: files, path: a}
init: some-weights
list: [{a: 1}, {a: 2}]
"""


def document() -> Document:
    return parse(TEXT, Path("x.yaml"))


@pytest.mark.parametrize(
    ("change", "place", "value"),
    [
        ("model.depth=18", ("model", "depth"), 18),
        ("model.width=48", ("model", "width"), 48),
        ("init=null", ("init",), None),
        ("method={kind: fat, eps: 4/255}", ("method",), {"kind": "fat", "eps": "4/255"}),
        ("method.kind=fat", ("method", "kind"), "fat"),
        ("precision=bf16", ("precision",), "bf16"),
        ("rate=2e-4", ("rate",), 2e-4),
        ("list.1.a=3", ("list", 1, "a"), 3),
        ("title=a=b", ("title",), "a=b"),
    ],
    ids=["replace", "add", "null", "mapping", "make", "text", "number", "item", "second-sign"],
)
def test_one_value_changes_and_nothing_else(change: str, place: tuple[Any, ...], value: Any) -> None:
    before = document()
    kept = copy.deepcopy(before.value)
    after = overridden(before, [change]).value
    assert before.value == kept
    found = after
    for step in place:
        found = found[step]
    assert found == value
    untouched = {name for name in kept if name != place[0]}
    assert {name: after[name] for name in untouched} == {name: kept[name] for name in untouched}


def test_later_changes_win() -> None:
    assert overridden(document(), ["model.depth=18", "model.depth=34"]).value["model"]["depth"] == 34


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.depth", "--set: 'model.depth' is not of the form model.depth=18"),
        ("=18", "not of the form"),
        ("task.depth=18", "--set task.depth=18: 'depth' lies within 'train', which is no mapping"),
        ("list.2.a=3", "'2' is no item of a list of 2"),
        ("list.x=3", "'x' is no item of a list of 2"),
        ("model={a: [}", "--set model"),
    ],
    ids=["no-sign", "no-place", "scalar", "beyond", "word", "yaml"],
)
def test_bad_changes(change: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        overridden(document(), [change])
    assert message in str(error.value)
