"""What every kind of conformal sets in the registry claims of itself, and that its promise is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import pytest
import torch

from clearsight.data.contract.errors import ConfigError, DataError, ShapeError
from clearsight.data.contract.estimator import Observation
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CALIBRATORS
from clearsight.defend.conformal_base import ConformalSpec

KINDS = tuple(
    kind
    for kind, entry in CALIBRATORS.kinds.items()
    if issubclass(entry, ConformalSpec) and kind != "conformal_robust"  # Promises more: test_robust_sets.py.
)
every = pytest.mark.parametrize("kind", KINDS)
CLASSES = 5
Rows = Callable[[], Iterator[Observation]]


def made(kind: str, **fields: Any) -> ConformalSpec:
    spec = CALIBRATORS.parse({"kind": kind, **fields})
    assert isinstance(spec, ConformalSpec)
    return spec


def rows(seed: int, count: int, *, noise: float = 0.0, classes: int = CLASSES) -> Rows:
    """Return observations whose labels are drawn from softmax(logits); noise makes the logits worse."""

    def once() -> Iterator[Observation]:
        draw = Rng(seed).at("conformal").numpy()
        logits = 2.0 * draw.normal(size=(count, classes))
        # The largest of logits with Gumbel noise is a draw from their softmax.
        truths = (logits + draw.gumbel(size=logits.shape)).argmax(1)
        given = torch.from_numpy(logits + noise * draw.normal(size=logits.shape)).float()
        yield from (Observation(each, int(truth)) for each, truth in zip(given, truths, strict=True))

    return once


def by_definition(kind: str, spec: Any, shares: list[float], u: float) -> list[float]:
    """Return the scores of one image, class by class, as the papers define them."""
    if kind == "conformal_thr":
        return [1 - p for p in shares]
    found = []
    for p in shares:
        likelier = [q for q in shares if q > p]
        score = sum(likelier) + (u * p if spec.randomised else p)
        if kind == "conformal_raps":
            score += spec.penalty * max(0, len(likelier) + 1 - spec.unpenalised)
        found.append(score)
    return found


def cases() -> list[tuple[str, dict[str, Any]]]:
    adaptive = [{"randomised": r, "alpha": a} for r, a in product((False, True), (0.1, 0.4))]
    penalised = [each | {"penalty": 0.2, "unpenalised": 1} for each in adaptive]
    return [
        ("conformal_thr", {"alpha": 0.1}),
        *(("conformal_aps", each) for each in adaptive),
        *(("conformal_raps", each) for each in (*adaptive, *penalised)),
    ]


@pytest.mark.parametrize(("kind", "fields"), cases())
def test_sets_are_those_of_the_definition(kind: str, fields: dict[str, Any]) -> None:
    spec, n = made(kind, **fields), 60
    fitted = spec.fit(rows(1, n), Rng(2))
    u = Rng(2).numpy().random(n)
    own = []
    for observation, draw in zip(rows(1, n)(), u, strict=True):
        shares = observation.value.double().softmax(0).tolist()
        own.append(by_definition(kind, spec, shares, draw)[observation.truth])
    limit = sorted(own)[ceil(round((n + 1) * (1 - spec.alpha), 9)) - 1]
    assert float(fitted["threshold"]) == pytest.approx(limit, rel=1e-6)
    assert float(fitted["threshold"]) >= limit - 1e-12
    logits = torch.stack([each.value for each in rows(3, 40)()])
    draws = torch.from_numpy(Rng(4).numpy().random(40))
    sets = spec.sets(logits, fitted, draws if spec.drawn() else None)
    for i, each in enumerate(logits):
        scores = by_definition(kind, spec, each.double().softmax(0).tolist(), float(draws[i]))
        assert [abs(s - limit) < 1e-7 or s <= limit for s in scores] == sets[i].tolist()


@pytest.mark.parametrize(("kind", "fields"), cases())
@pytest.mark.slow
def test_the_promise_is_kept_over_many_fits(kind: str, fields: dict[str, Any]) -> None:
    """Over fits and new images coverage is between 1 - alpha and 1 - alpha + 1 / (n + 1), but for ties."""
    spec, n, fits, new = made(kind, **fields), 49, 150, 40
    held = []
    for seed in range(fits):
        fitted = spec.fit(rows(10 + seed, n), Rng(seed))
        drawn = list(rows(5000 + seed, new)())
        logits = torch.stack([each.value for each in drawn])
        sets = spec.sets(logits, fitted, spec.draws(new, Rng(9000 + seed)))
        held.append(np.mean([sets[i, each.truth] for i, each in enumerate(drawn)]))
    # Standard error of the mean over independent fits; four of them leave one false alarm in 30,000.
    error = 4 * np.std(held) / np.sqrt(fits)
    assert np.mean(held) >= 1 - spec.alpha - error
    if kind == "conformal_thr" or fields.get("randomised"):
        assert np.mean(held) <= 1 - spec.alpha + 1 / (n + 1) + error


@every
def test_nothing_is_promised_of_other_images(kind: str) -> None:
    spec = made(kind, each=0)
    fitted = spec.fit(rows(1, 2000), Rng(0))
    alike, other = (spec.figures(rows(2, 2000, noise=noise), fitted, Rng(1)) for noise in (0.0, 4.0))
    assert alike["coverage"]["low"] <= 1.0
    assert alike["coverage"]["high"] >= alike["promised"] == pytest.approx(0.9)
    assert other["coverage"]["high"] < 0.85


@every
def test_every_class_has_its_own_promise(kind: str) -> None:
    """Labels of class 0 come with logits that speak for class 1: only a threshold of its own helps it."""

    def lying(seed: int, count: int) -> Rows:
        def once() -> Iterator[Observation]:
            for i, each in enumerate(rows(seed, count)()):
                yield Observation(each.value.roll(1), 0) if each.truth == 0 and i % 2 else each

        return once

    missed = []
    for by_class in (False, True):
        spec = made(kind, by_class=by_class)
        fitted = spec.fit(lying(1, 3000), Rng(0))
        assert fitted["threshold"].shape == ((CLASSES,) if by_class else ())
        drawn = [each for each in lying(2, 4000)() if each.truth == 0]
        sets = spec.sets(torch.stack([each.value for each in drawn]), fitted, None)
        missed.append(1 - float(sets[:, 0].double().mean()))
    assert missed[0] > 0.13
    assert missed[1] <= 0.145
    if kind == "conformal_thr":
        assert missed[1] == pytest.approx(0.1, abs=0.045)


@every
def test_too_few_images_are_told(kind: str) -> None:
    assert made(kind, alpha=0.05).fit(rows(1, 19, classes=2), Rng(0))["threshold"].isfinite()
    with pytest.raises(DataError, match=r"18 calibration images are too few for alpha 0.05: at least 19"):
        made(kind, alpha=0.05).fit(rows(1, 18, classes=2), Rng(0))
    with pytest.raises(DataError, match=rf"{kind}.*of 5 classes have fewer than 9 calibration images"):
        made(kind, by_class=True).fit(rows(1, 30), Rng(0))

    def without() -> Iterator[Observation]:
        yield from (each for each in rows(1, 200)() if each.truth not in (1, 3))

    with pytest.raises(
        DataError, match=rf"{kind}.*2 of 5 classes have no calibration image \(1, 3\).*each: 0"
    ):
        made(kind).fit(without, Rng(0))
    assert made(kind, each=0).fit(without, Rng(0))["threshold"].isfinite()


@every
def test_other_classes_are_refused(kind: str) -> None:
    spec = made(kind, by_class=True)
    fitted = spec.fit(rows(1, 300), Rng(0))
    with pytest.raises(ShapeError, match=rf"{kind}.*was fitted for 5 classes, got logits of 3"):
        spec.sets(torch.zeros(2, 3), fitted, None)


@every
def test_what_makes_no_sense_is_refused(kind: str) -> None:
    with pytest.raises((ConfigError, ValueError), match="alpha"):
        made(kind, alpha=1.0)
