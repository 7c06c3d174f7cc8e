"""What every attack in the registry must do; a new file is tested by being there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.run_folder import RunFolder
from clearsight.data.seals import chunk_seal
from clearsight.defend.attacks.base import Attack, BallAttack
from clearsight.defend.catalogue import ATTACKS, CLASSIFIERS
from clearsight.defend.target import AttackBatch, GradientOutput
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.evaluation.worker import images_to_bytes
from clearsight.pipelines.systems.graph import Node, chain, wire
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget, View

CLASSES, SIZE = 5, (12, 12)
RADIUS = {"linf": 0.006, "l2": 0.08, "l1": 0.8}
"""Radii at which the network below loses some of its images, not all."""
WIDER = {"autoattack": 3.0, "square": 2.5, "feature": 3.0}
"""Kinds that get a larger radius: they need it, or what survives costs them very much."""
FOUR_CLASSES = {"autoattack", "swift"}
"""Kinds that compare four logits whatever their fields say."""
ROWS: dict[str, list[dict[str, Any]]] = {
    "none": [{}],
    "fgsm": [{}],
    "pgd": [{"steps": 4, "restarts": 2}, {"steps": 4, "momentum": 0.9, "loss": "margin"}],
    "pgd_early": [{"steps": 5}, {"steps": 5, "tau": 2}],
    "cw": [
        {"steps": 4, "restarts": 2},
        {"steps": 4, "kappa": 0.2},
        {"minimal": True, "norm": "l2", "steps": 12, "searches": 3, "c": 1.0, "rate": 0.02},
    ],
    "spatial": [{"angles": 5, "shifts": 3}, {"search": "random", "tries": 6, "border": "border"}],
    "patch": [{"steps": 4, "restarts": 2}, {"steps": 4, "restarts": 2, "place": [0, 0.5], "side": 0.4}],
    "feature": [{"steps": 5}, {"steps": 5, "direction": "towards", "restarts": 2}],
    "low_frequency": [{"steps": 4, "restarts": 2}],
    "python": [{"call": "own_toys:one_step"}],
    "replay": [{"system": "plain", "attack": "pgd"}],
    "apgd": [{"steps": 6}, {"steps": 6, "loss": "dlr_targeted", "targets": 2}],
    "detector_aware": [{"steps": 4}, {"steps": 4, "weights": [0.1]}],
    "fab": [{"steps": 4, "targets": 2}],
    "square": [{"queries": 12}],
    "autoattack": [{"queries": 8}],
    "swift": [{"sieve": 4, "steps": 4, "ranked": 2, "queries": 8}],
}
"""Small settings of each kind; every norm that a kind is defined for is tried with each of them. A kind that
is not here is tried with its defaults."""


@dataclass(frozen=True)
class Case:
    """One setting of one kind. ``fields`` is JSON, so that it can be hashed."""

    kind: str
    fields: str

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.fields))

    @property
    def name(self) -> str:
        shown = {k: v for k, v in self.told.items() if k != "eps"}
        return "-".join([self.kind, *(f"{k}={v}" for k, v in shown.items())]).replace(" ", "")

    def make(self, **changes: Any) -> Attack:
        """Return the attack; the images that a replay asks for are in the folder ``path``."""
        return ATTACKS.parse({"kind": self.kind} | self.told | changes)


def cases() -> list[Case]:
    out = []
    for kind, spec in ATTACKS.kinds.items():
        for row in ROWS.get(kind, [{}]):
            norms = spec.norms if issubclass(spec, BallAttack) else (None,)
            for norm in norms if "norm" not in row else (row["norm"],):
                ball = {"norm": norm, "eps": WIDER.get(kind, 1) * RADIUS[norm]} if norm else {}
                out.append(Case(kind, json.dumps(row | ball)))
    return out


CASES = cases()
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
BALLS = pytest.mark.parametrize(
    "case", [c for c in CASES if issubclass(ATTACKS[c.kind], BallAttack)], ids=lambda case: case.name
)
FIRST = [next(c for c in CASES if c.kind == kind) for kind in ATTACKS.kinds]
each_kind = pytest.mark.parametrize("case", FIRST, ids=lambda case: case.kind)


def test_every_kind_is_tried() -> None:
    assert {case.kind for case in CASES} == set(ATTACKS.kinds)
    assert set(ROWS) <= set(ATTACKS.kinds)
    slow = [kind for kind in ATTACKS.kinds if kind not in ROWS and "steps" in ATTACKS[kind].model_fields]
    assert not slow, f"give these iterative kinds small settings in ROWS of {Path(__file__).name}: {slow}"


def images(n: int, channels: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    """Return smooth images with some noise, some of whose pixels are 0 or 1."""
    draw = Rng(1).at("images", channels, *size).torch()
    coarse = torch.rand((n, channels, 4, 4), generator=draw)
    smooth = nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (1.2 * smooth + 0.2 * torch.rand(smooth.shape, generator=draw) - 0.2).clamp(0, 1)


@cache
def system(classes: int = CLASSES, *, screened: bool = False) -> System:
    """Return a small network whose logits are spread evenly over the classes, with a detector beside it or not."""
    spec = CLASSIFIERS.parse({"kind": "small_convnet", "classes": classes, "width": 4, "blocks": 1})
    graph = chain(spec)
    if screened:
        nodes = {
            "out": Node(use="classify"),
            "soft": Node(use="median"),
            "again": Node(use="classify", of="soft"),
            "screen": Node(use="screen", of=("out", "again")),
        }
        beside = {kind: PARTS.parse({"kind": kind}) for kind in ("median", "feature_squeezing")}
        parts = {"classify": spec, "median": beside["median"], "screen": beside["feature_squeezing"]}
        graph = wire(nodes, parts)
    made = System(graph)
    (last,) = (m for m in made.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        logits = made(images(200))
        last.weight /= logits.std(0)[:, None]
        last.bias.copy_((last.bias - logits.mean(0)) / logits.std(0))
    return made


class Watched(SystemTarget):
    """Notes what is asked for."""

    asked: set[str]

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        self.check("logits", x, rows)
        return super().logits(x, rows)

    def gradient(self, x: Tensor, rows: Tensor, loss: Callable[[Tensor], Tensor]) -> GradientOutput:
        self.check("gradient", x, rows)
        return super().gradient(x, rows, loss)

    def screened(self, x: Tensor, rows: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> GradientOutput:
        self.check("gradient", x, rows)
        return super().screened(x, rows, loss)

    def features(self, x: Tensor, rows: Tensor, compare: Callable[[Tensor], Tensor]) -> GradientOutput:
        self.check("features", x, rows)
        return super().features(x, rows, compare)

    def check(self, what: str, x: Tensor, rows: Tensor) -> None:
        self.asked.add(what)
        assert x.shape[0] == rows.shape[0] > 0
        assert x.dtype == torch.float32
        assert x.min() >= 0
        assert x.max() <= 1


@dataclass(frozen=True)
class Done:
    """AttackBatch before and after, and the target with its counters."""

    batch: AttackBatch
    images: Tensor
    target: Watched


def attack_batch_of(images: Tensor, *, classes: int = CLASSES, wrong: int = 0) -> AttackBatch:
    """Return images with the labels that the network gives them; the first ``wrong`` have another label."""
    with torch.no_grad():
        labels = system(classes)(images).argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % classes
    n = len(images)
    return AttackBatch(images, labels, tuple(f"set/{i:03d}" for i in range(n)), torch.arange(n))


def attacked(attack: Attack, batch: AttackBatch, *, view: View = "gradient", classes: int = CLASSES) -> Done:
    target = Watched(system(classes, screened=attack.needs_detector), batch.ids, Rng(0).at("draw"), view=view)
    target.asked = set()
    return Done(batch, attack(target, batch, Rng(0).at("attack")), target)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[AttackBatch], str]:
    """Return a function that writes a run folder in which these batch' images, upside down, are kept."""
    root = tmp_path_factory.mktemp("runs")

    @cache
    def folder(key: str) -> Path:
        path = root / key
        (path / "cells" / ("f" * 16)).mkdir(parents=True)
        cell = {"key": "f" * 64, "system": "plain", "condition": "clean", "attack": "pgd"}
        (path / "resolved.json").write_text(json.dumps({"config": {}, "cells": [cell]}))
        return path

    def write(batch: AttackBatch) -> str:
        path = folder("x".join(map(str, batch.images.shape)))
        found = dict(zip(batch.ids, batch.images.flip(2), strict=True))
        run = RunFolder(path)
        seal = chunk_seal(run, "f" * 64, 0)
        seal.write(run.adversarial("f" * 64, 0), images_to_bytes(found))
        seal.close()
        return str(path)

    return write


Make = Callable[[Case, AttackBatch], Attack]


@pytest.fixture(scope="module")
def make(kept: Callable[[AttackBatch], str]) -> Make:
    return lambda case, batch: case.make(**({"path": kept(batch)} if case.kind == "replay" else {}))


@pytest.fixture(scope="module")
def together(make: Make) -> Callable[[Case], Done]:
    """Return a function that attacks eight images, of which the first has a wrong label; once a case."""

    @cache
    def run(case: Case) -> Done:
        batch = attack_batch_of(images(8), wrong=1)
        before, state = batch.images.clone(), torch.get_rng_state()
        done = attacked(make(case, batch), batch)
        assert torch.equal(batch.images, before), "it changed the images that it was given"
        assert torch.equal(torch.get_rng_state(), state), "it drew from the global generator"
        return done

    return run


def length(delta: Tensor, norm: str) -> Tensor:
    amount = delta.double().flatten(1).abs()
    if norm == "linf":
        return amount.amax(1)
    return amount.sum(1) if norm == "l1" else amount.square().sum(1).sqrt()


def margins(images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        logits = system()(images)
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    out: Tensor = logits.gather(1, labels[:, None])[:, 0] - others
    return out


@each_case
def test_result_is_images_in_the_ball(case: Case, together: Callable[[Case], Done]) -> None:
    done, attack = together(case), case.make(**({"path": "-"} if case.kind == "replay" else {}))
    assert done.images.shape == done.batch.images.shape
    assert done.images.dtype == torch.float32
    assert not done.images.requires_grad
    assert done.images.min() >= 0
    assert done.images.max() <= 1
    if isinstance(attack, BallAttack):
        assert attack.radius == (attack.norm, attack.eps)
        assert length(done.images - done.batch.images, attack.norm).max() <= attack.eps * 1.0001 + 1e-6


@each_case
def test_it_does_harm(case: Case, together: Callable[[Case], Done]) -> None:
    done = together(case)
    if ATTACKS[case.kind].sees == "nothing":
        pytest.skip("it does not know the system")
    before, after = (margins(x[1:], done.batch.labels[1:]) for x in (done.batch.images, done.images))
    assert (before > 0).all()
    assert (after < 0).any(), "no image of seven is misclassified: is the row too weak?"


@each_case
def test_wrong_images_are_let_alone(case: Case, together: Callable[[Case], Done]) -> None:
    done = together(case)
    if case.kind == "replay":
        assert torch.equal(done.images, done.batch.images.flip(2))
        return
    assert torch.equal(done.images[0], done.batch.images[0])
    assert done.target.queries[0] == 1
    assert done.target.backwards[0] == 0


@each_case
def test_budget_and_sight_are_as_declared(case: Case, together: Callable[[Case], Done]) -> None:
    done, sees = together(case), ATTACKS[case.kind].sees
    right = slice(1, None)
    if sees == "gradient":
        assert (done.target.backwards[right] > 0).all()
        assert done.target.asked & {"gradient", "features"}
    else:
        assert not done.target.asked & {"gradient", "features"}
        assert done.target.backwards.sum() == 0
    if sees == "nothing":
        assert done.target.queries.max() <= 1
    else:
        assert (done.target.queries[right] >= 2).all()


@each_case
def test_equal_streams_give_equal_images(case: Case, together: Callable[[Case], Done], make: Make) -> None:
    done = together(case)
    again = attacked(make(case, done.batch), done.batch)
    assert torch.equal(again.images, done.images)
    assert torch.equal(again.target.queries, done.target.queries)
    assert torch.equal(again.target.backwards, done.target.backwards)


@each_case
def test_alone_as_in_company(case: Case, together: Callable[[Case], Done], make: Make) -> None:
    done = together(case)
    attack = make(case, done.batch)
    if attack.company:
        pytest.skip("it says that its result depends on the other images")
    for i in (1, 4, 6):
        chosen = torch.tensor([i])
        one = AttackBatch(
            done.batch.images[chosen],
            done.batch.labels[chosen],
            (done.batch.ids[i],),
            torch.tensor([0]),
        )
        alone = attacked(attack, one)
        assert torch.allclose(alone.images[0], done.images[i], atol=1e-4)
        assert alone.target.queries[0] == done.target.queries[i]
        assert alone.target.backwards[0] == done.target.backwards[i]


@each_case
def test_no_image_costs_more_than_the_attack_says(
    case: Case, together: Callable[[Case], Done], make: Make
) -> None:
    done = together(case)
    forwards, backwards = make(case, done.batch).passes(done.target.classes)
    assert int(done.target.queries.max()) <= forwards + 1
    assert int(done.target.backwards.max()) <= backwards


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.name) for c in CASES if issubclass(ATTACKS[c.kind], BallAttack)]
)
def test_a_ball_of_no_size_holds_the_image(case: Case) -> None:
    batch = attack_batch_of(images(1))
    done = attacked(case.make(eps=0), batch)
    assert torch.allclose(done.images, batch.images, atol=1e-6)


@pytest.mark.parametrize(
    ("n", "channels", "size"),
    [(1, 3, SIZE), (3, 1, SIZE), (2, 3, (17, 23))],
    ids=["one", "grey", "odd"],
)
@each_kind
@pytest.mark.slow
def test_shapes(case: Case, n: int, channels: int, size: tuple[int, int], make: Make) -> None:
    batch = attack_batch_of(images(n, channels, size))
    done = attacked(make(case, batch), batch)
    assert done.images.shape == (n, channels, *size)


@pytest.mark.parametrize("view", ["scores", "labels"])
@each_kind
def test_black_boxes(case: Case, view: View, make: Make, together: Callable[[Case], Done]) -> None:
    sees = ATTACKS[case.kind].sees
    batch = together(case).batch
    path = make(case, batch).model_dump(include={"path"})
    enough = sees in ("nothing", "labels") or (sees, view) == ("scores", "scores")
    if not enough:
        with pytest.raises(ValidationError, match=f"{case.kind} needs to see {sees}"):
            case.make(threat=view, **path)
        if sees == "gradient":
            with pytest.raises(AttackError, match=f"shows {view} only"):
                attacked(make(case, batch), batch, view=view)
        return
    done = attacked(case.make(threat=view, **path), batch, view=view)
    assert torch.equal(done.images, together(case).images)


@each_kind
def test_all_wrong_already_costs_one_look(case: Case, make: Make) -> None:
    batch = attack_batch_of(images(2), wrong=2)
    done = attacked(make(case, batch), batch)
    assert done.target.queries.max() <= 1
    if case.kind != "replay":
        assert torch.equal(done.images, batch.images)


@each_case
def test_yaml_round_trip_and_key(case: Case, make: Make) -> None:
    spec = make(case, attack_batch_of(images(2)))
    for dumped in (spec.model_dump(mode="json"), spec.model_dump(mode="json", exclude_unset=True)):
        again = ATTACKS.parse(yaml.safe_load(yaml.safe_dump({"kind": case.kind} | dumped)))
        assert again == spec
        assert again.key() == spec.key()


NAMES = {"kind", "source", "path", "system", "attack", "condition"}
"""Fields whose change is no other attack: names, and what `identity` replaces by contents."""


@each_kind
def test_every_field_is_in_the_key(case: Case, make: Make) -> None:
    spec = make(case, attack_batch_of(images(2)))
    keys = {spec.key()}
    fields = set(type(spec).model_fields) - NAMES
    for name in fields:
        value = getattr(spec, name)
        other = (not value) if isinstance(value, bool) else (value + 1 if isinstance(value, int) else "other")
        if name == "call":
            other = "own_toys:half_step"
        keys.add(spec.model_copy(update={name: other}).key())
    assert len(keys) == len(fields) + 1


@each_kind
def test_facts_are_told(case: Case) -> None:
    spec = ATTACKS[case.kind]
    assert spec.purpose
    assert spec.__doc__
    text = json.dumps(spec.model_json_schema())
    assert len(text) > 100
    assert "run" in vars(spec) or "__call__" in vars(spec)


@BALLS
def test_levels_of_255_are_refused(case: Case) -> None:
    wrong = {"linf": 8, "l2": 128, "l1": 3000}[case.told["norm"]]
    with pytest.raises(ValidationError, match=f"write {wrong}/255"):
        case.make(eps=wrong)
    assert case.make(eps="1/255").key() == case.make(eps=1 / 255).key()


@each_kind
def test_source_goes_with_transfer(case: Case) -> None:
    path = {"path": "-"} if case.kind == "replay" else {}
    with pytest.raises(ValidationError, match="'source' names the other system"):
        case.make(threat="transfer", **path)
    with pytest.raises(ValidationError, match="'source' names the other system"):
        case.make(source="other", **path)
    assert case.make(threat="transfer", source="other", **path).source == "other"


@each_case
def test_two_classes_will_do_or_are_refused(case: Case, make: Make) -> None:
    batch = attack_batch_of(images(2), classes=2)
    attack = make(case, batch)
    if case.kind in FOUR_CLASSES or case.told.get("loss", "").startswith("dlr"):
        with pytest.raises(AttackError, match="needs at least . classes, the system has 2"):
            attacked(attack, batch, classes=2)
    else:
        attack.fits(2)
        assert attacked(attack, batch, classes=2).images.shape == batch.images.shape


def test_a_result_outside_of_the_ball_is_an_error_of_the_attack() -> None:
    class Astray(BallAttack):
        kind: str = "astray"

        def run(self, target: object, batch: AttackBatch, rng: Rng) -> Tensor:
            return (batch.images + 0.1).clamp(0, 1)

    with pytest.raises(AttackError, match="astray: its linf perturbation of 0.1 exceeds 0.01"):
        attacked(Astray(eps=0.01), attack_batch_of(images(2)))
