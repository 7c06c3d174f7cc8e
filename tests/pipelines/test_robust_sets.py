"""Sets that hold under attack: the promise, by the worst attack on a classifier in closed form; bad places."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.estimator import Observation
from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CALIBRATORS, CLASSIFIERS
from clearsight.defend.conformal_base import ConformalSpec
from clearsight.pipelines.config.fit import Fit
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.systems.graph import wire

EPS, SIGMA, SAMPLES, SIDE, COUNT = 0.3, 0.6, 600, 6, 300
TOY = {"kind": "python", "call": "toy:brightest", "arguments": {"gain": 30.0}, "classes": 3}
SMOOTHED = {"kind": "smoothed", "classifier": TOY, "sigma": SIGMA, "samples": SAMPLES}
ROBUST = {"kind": "conformal_robust", "eps": EPS, "sigma": SIGMA, "samples": SAMPLES}


def drawn(seed: int) -> tuple[Tensor, Tensor]:
    """Return images (n, 3, h, w) whose brightest channel says the class, mostly, and the classes."""
    draw = Rng(seed).at("flat").torch()
    truths = torch.randint(3, (COUNT,), generator=draw)
    levels = 0.4 + 0.05 * torch.randn(COUNT, 3, generator=draw) + 0.15 * torch.eye(3)[truths]
    return levels[:, :, None, None].expand(-1, -1, SIDE, SIDE), truths


def attacked(images: Tensor, truths: Tensor) -> Tensor:
    """Return the images after the worst step of length `EPS`: the true channel darker, the best other brighter."""
    rivals = images.mean((2, 3)).scatter(1, truths[:, None], -1.0).argmax(1)
    step = torch.zeros_like(images)
    rows = torch.arange(len(images))
    step[rows, truths], step[rows, rivals] = -1.0, 1.0
    return images + EPS * step / step.flatten(1).norm(dim=1)[:, None, None, None]


def said(images: Tensor, seed: int) -> Tensor:
    module = CLASSIFIERS.parse(SMOOTHED).build()
    module.streams = [Rng(seed).at("noise", i) for i in range(len(images))]
    with torch.no_grad():
        found: Tensor = module(images)
    return found


def spec(fields: Mapping[str, Any]) -> ConformalSpec:
    made = CALIBRATORS.parse(dict(fields))
    assert isinstance(made, ConformalSpec)
    return made


@pytest.mark.slow
def test_the_promise_is_kept_under_the_attack_that_breaks_plain_sets() -> None:
    images, truths = drawn(1)
    rows = [Observation(value, int(truth)) for value, truth in zip(said(images, 1), truths, strict=True)]
    images, truths = drawn(2)
    answers = {"clean": said(images, 2), "attacked": said(attacked(images, truths), 3)}
    coverage: dict[tuple[str, str], float] = {}
    sizes: dict[tuple[str, str], float] = {}
    for name, fields in (("plain", {"kind": "conformal_thr"}), ("robust", ROBUST)):
        sets_of = spec(fields)
        fitted = sets_of.fit(partial(iter, rows), Rng(0))
        for condition, logits in answers.items():
            sets = sets_of.sets(logits, fitted, None)
            coverage[name, condition] = sets.gather(1, truths[:, None]).float().mean().item()
            sizes[name, condition] = sets.sum(1).float().mean().item()
    assert coverage["plain", "clean"] > 0.86
    assert coverage["plain", "attacked"] < 0.75
    assert min(coverage["robust", "clean"], coverage["robust", "attacked"]) >= 0.9
    assert sizes["plain", "clean"] < sizes["robust", "clean"] < 2.2


def test_noise_is_a_function_of_the_stream_and_probabilities_are_means() -> None:
    images, _ = drawn(4)
    images = images[:3]
    assert torch.equal(said(images, 1), said(images, 1))
    assert not torch.equal(said(images, 1), said(images, 2))
    assert torch.allclose(said(images, 1).exp().sum(1), torch.ones(3))
    # Noise on the mean of 36 pixels, times the gain: the mean of the softmax over 1 in logits.
    draw = Rng(9).at("x").torch()
    logits = images.mean((2, 3))[:, None] + SIGMA / SIDE * torch.randn(3, 20_000, 3, generator=draw)
    expected = (30.0 * logits).softmax(2).mean(1)
    assert torch.allclose(said(images, 1).exp(), expected, atol=0.08)


@pytest.mark.parametrize(
    ("nodes", "changes", "told"),
    [
        (("classify", "sets"), {}, "holds only behind one classifier of kind smoothed"),
        (("median", "smooth", "sets"), {}, "takes the image as it is"),
        (
            ("smooth", "sets"),
            {"sigma": 0.25},
            "sigma 0.6 and 600 samples, the sets are made for 0.25 and 600",
        ),
    ],
)
def test_places_where_nothing_holds_are_refused(
    nodes: tuple[str, ...], changes: dict[str, Any], told: str
) -> None:
    parts = {"median": {"kind": "median"}, "classify": TOY, "smooth": SMOOTHED, "sets": ROBUST | changes}
    with pytest.raises(ConfigError, match=told):
        wire(nodes, {name: PARTS.parse(fields) for name, fields in parts.items()})
    before = {name: fields for name, fields in parts.items() if name in nodes[:-1]}
    config = {"task": "fit", "name": "x", "data": {"kind": "signs"}, "parts": before, "system": nodes[:-1]}
    with pytest.raises(ValidationError, match=told):
        Fit.model_validate(config | {"estimator": ROBUST | changes})


def test_an_error_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="twice 0.05 leaves nothing of alpha 0.1"):
        type(spec(ROBUST)).model_validate(ROBUST | {"beta": 0.05})
