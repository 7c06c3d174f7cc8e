"""Kinds of scripts and cells: usable at once, replaced, refused; and what a worker process cannot import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract import registering
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registering import refuse_unsendable, register
from clearsight.data.contract.registry import REGISTERED, registries
from clearsight.data.contract.spec import Spec
from clearsight.data.corruptions.base import Corruption
from clearsight.data.executors.processes import ProcessPool
from clearsight.defend.catalogue import ATTACKS
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.config.registries import PARTS


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    if not REGISTERED:
        return
    REGISTERED.clear()
    for registry in registries():
        registry.forget()
    registering._rebuild()


class Halved(Corruption):
    """Half the light."""

    kind: Literal["halved"] = "halved"
    purpose: ClassVar[str] = "half the light"

    by: int = 2

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return image // self.by


def config(*nodes: object) -> Evaluate:
    return Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "x",
            "data": {"kind": "signs", "count": 4},
            "parts": {"median": {"kind": "median"}},
            "systems": {"one": ["median"]},
            "conditions": {f"c{i}": node for i, node in enumerate(nodes)},
        }
    )


@pytest.mark.slow
def test_a_kind_is_there_at_once_in_configs_that_were_built_before() -> None:
    with pytest.raises(ValidationError, match="halved"):
        config({"kind": "halved"})
    assert register(Halved) is Halved
    node = {"kind": "halved", "by": 3}
    told = config(node, [node, {"kind": "fog"}], node | {"each": {"severity": [1, 2]}}, Halved(by=3))
    assert [c.corruption for c in told.expanded()["c0"]] == [Halved(by=3)]
    assert told.conditions["c3"] == told.conditions["c0"]
    assert told.model_dump(mode="json")["conditions"]["c0"]["by"] == 3
    assert Evaluate.model_validate(told.model_dump(mode="json")) == told
    assert "halved" in CORRUPTIONS.kinds
    assert "halved" not in {*ATTACKS.kinds, *PARTS.kinds}
    with pytest.raises(ValidationError, match=r"conditions\.c0\..*by"):
        config({"kind": "halved", "by": "x"})


@pytest.mark.slow
def test_a_cell_that_is_executed_again_replaces_its_class() -> None:
    def cell(default: int) -> type[Corruption]:
        class Cell(Corruption):
            kind: Literal["cell"] = "cell"
            by: int = default

        return register(Cell)

    first, second = cell(2), cell(3)
    assert CORRUPTIONS["cell"] is second is not first
    assert config({"kind": "cell"}).conditions["c0"] == second()


class NoKind(Corruption):
    pass


class AlsoFog(Corruption):
    kind: Literal["fog"] = "fog"


class Nowhere(Spec):
    kind: Literal["nowhere"] = "nowhere"


@pytest.mark.wrong_types("hands in what is no class of a spec")
@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (NoKind, r'register\(NoKind\): has no kind; add the field kind: Literal\["name"\]'),
        (AlsoFog, "two corruptions are called 'fog'"),
        (Nowhere, "belongs to no registry"),
        (int, "is no class that derives from a spec"),
        (Halved(), "is no class"),
    ],
)
def test_what_cannot_be_a_kind_is_refused_and_changes_nothing(entry: type[Spec], match: str) -> None:
    before = dict(CORRUPTIONS.kinds)
    with pytest.raises(ConfigError, match=match):
        register(entry)
    assert before == CORRUPTIONS.kinds
    assert not REGISTERED


def _nothing(job: list[Corruption]) -> Callable[[int], int]:
    return abs


@dataclass(frozen=True)
class Job:
    conditions: dict[str, tuple[Corruption, ...]]


@pytest.mark.slow
def test_only_what_another_process_can_import_is_sent() -> None:
    class Hidden(Corruption):
        kind: Literal["hidden"] = "hidden"

    register(Halved)
    register(Hidden)
    refuse_unsendable(Job({"a": (Halved(),)}))
    with pytest.raises(ConfigError, match="kind 'hidden': is defined where a worker .*use workers=1"):
        refuse_unsendable([Job({"a": (Halved(), Hidden())})])
    job: list[Corruption] = [Hidden()]
    with pytest.raises(ConfigError, match="kind 'hidden'"):
        next(ProcessPool(2, "here").map(_nothing, job, [1]))
