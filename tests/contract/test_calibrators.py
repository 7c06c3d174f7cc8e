"""What every calibrator in the registry claims of itself; a new file is tested by being there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.estimator import Observation
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.data.weights import save
from clearsight.defend.calibrator import Calibrator
from clearsight.defend.catalogue import CALIBRATORS
from clearsight.defend.conformal_base import ConformalSpec

every = pytest.mark.parametrize("kind", tuple(CALIBRATORS.kinds))
CLASSES, COUNT = 4, 400


def rows() -> Iterator[Observation]:
    """Yield logits that are three times as sure as they should be."""
    for number in range(COUNT):
        draw = Rng(number).at("calibrators").numpy()
        logits = torch.from_numpy(draw.normal(size=CLASSES)).float() * 1.5
        truth = int(draw.choice(CLASSES, p=logits.double().softmax(0).numpy()))
        yield Observation(3.0 * logits, truth)


@cache
def fitted(kind: str) -> Mapping[str, Tensor]:
    return CALIBRATORS[kind]().fit(rows, Rng(1))


def built(kind: str, folder: Path) -> Calibrator:
    card: dict[str, object] = {
        "data": {},
        "recipe": {},
        "figures": {},
        "id": kind,
        "spec": {"kind": kind},
        "seed": 0,
        "minutes": 0,
        "machine": "",
        "limits": "",
        "licence": "Apache-2.0",
    }
    save(folder / kind, fitted(kind), card, half=False)
    return CALIBRATORS[kind](weights=str(folder / kind)).build()


@every
def test_facts_are_told(kind: str) -> None:
    entry = CALIBRATORS[kind]
    assert entry.takes == (Flow.LOGITS,)
    assert entry.gives is Flow.LOGITS
    assert not entry.variadic
    assert entry.gradient is Gradient.EXACT
    assert not entry.trainable
    assert entry.purpose


@every
def test_a_fit_is_finite_repeatable_and_no_worse(kind: str, no_global_rng: None) -> None:
    spec = CALIBRATORS[kind]()
    again = spec.fit(rows, Rng(1))
    assert fitted(kind).keys() == again.keys()
    assert all(torch.equal(again[name], value) for name, value in fitted(kind).items())
    assert all(value.isfinite().all() for value in again.values())
    found = spec.figures(rows, again, Rng(2))
    if isinstance(spec, ConformalSpec):
        assert found["coverage"]["low"] <= found["coverage"]["value"] <= found["coverage"]["high"]
        return
    assert found["images"] == COUNT
    if spec.says:
        return
    assert found["after"]["nll"]["value"] <= found["before"]["nll"]["value"] + 1e-6
    assert found["nll_difference"]["low"] <= found["nll_difference"]["value"] <= 1e-6
    for name in ("before", "after"):
        for figure in found[name].values():
            assert figure["low"] <= figure["value"] <= figure["high"]


@every
def test_weights_give_what_was_fitted(kind: str, tmp_path: Path) -> None:
    module = built(kind, tmp_path)
    logits = torch.stack([next(rows()).value, torch.zeros(CLASSES)])
    assert torch.allclose(module(logits), CALIBRATORS[kind]().calibrate(logits, fitted(kind)))
    assert not list(module.parameters())
    assert not module.training


@every
def test_an_image_is_calibrated_by_itself_and_the_gradient_is_exact(kind: str, tmp_path: Path) -> None:
    module = built(kind, tmp_path).double()
    logits = torch.randn((3, CLASSES), generator=Rng(3).at("x").torch(), dtype=torch.float64)
    alone = torch.cat([module(each[None]) for each in logits])
    assert torch.allclose(module(logits), alone, atol=1e-12)
    assert torch.autograd.gradcheck(module, logits.requires_grad_())


@every
def test_what_was_not_fitted_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind}.*has not been fitted.*clearsight fit"):
        CALIBRATORS[kind]().ready()
    with pytest.raises(ConfigError, match="has not been fitted"):
        CALIBRATORS[kind]().build()


@every
def test_images_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=rf"{kind}.*expects logits \(n, classes\)"):
        built(kind, tmp_path)(torch.zeros(2, 3, 4, 4))
