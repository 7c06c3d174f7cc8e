"""Gradients that are there and are not the slope: found on images, and named in an ordinary run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run
from clearsight.pipelines.runs.folder import read_json
from clearsight.pipelines.runs.summary import parse_summary
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.slopes import GradientAgreement, slopes
from clearsight.restore.catalogue import RESTORERS

HIDING = {"kind": "python", "call": "broken:misled", "classes": 3}
HONEST = {"kind": "python", "call": "toy:brightest", "classes": 3}


def images(*, flat: bool = False) -> Tensor:
    """Return photographs of nothing: noise, or flat squares in which a median has many answers."""
    x = torch.rand(4, 3, 4 if flat else 32, 4 if flat else 32, generator=Rng(1).torch())
    x = torch.nn.functional.interpolate(x, size=(32, 32), mode="nearest")
    return (x * 255).round() / 255


def measured(
    classifier: dict[str, object], *restorers: str, flat: bool = False
) -> dict[str, GradientAgreement]:
    system = chain(*(RESTORERS.parse({"kind": k}) for k in restorers), CLASSIFIERS.parse(classifier)).build()
    x, streams = images(flat=flat), [Rng(0).at(i) for i in range(4)]
    return dict(slopes(system, x, streams, find_path(system, x)))


@pytest.mark.parametrize("restorer", ["median", "gamma", "total_variation", "bilateral", "unsharp_mask"])
@pytest.mark.parametrize("flat", [False, True])
def test_honest_parts_agree_with_finite_differences(restorer: str, flat: bool) -> None:
    found = measured(HONEST, restorer, flat=flat)
    assert found
    assert all(slope.true for slope in found.values()), found


@pytest.mark.parametrize("way", ["falsified", "half_hidden"])
def test_a_gradient_of_something_else_is_found(way: str) -> None:
    (slope,) = measured(HIDING | {"arguments": {"way": way}}).values()
    assert not slope.true
    assert slope.apart > 0.5


def test_a_small_gradient_beside_a_hidden_network_is_found_although_both_fear_the_same() -> None:
    """f(x).detach() + 0.05 g(x): along its own gradient g may look right, across it f is missing."""
    (slope,) = measured(HIDING | {"arguments": {"way": "alike"}}).values()
    assert 0.5 <= slope.ratio <= 1.5
    assert not slope.true


def test_an_ordinary_run_does_not_call_such_a_figure_reliable(
    make_config: Callable[..., Evaluate], tmp_path: Path
) -> None:
    config = make_config(
        parts={"hiding": HIDING | {"arguments": {"way": "half_hidden"}}, "honest": HONEST},
        systems={"hiding": ["hiding"], "honest": ["honest"]},
        compare=None,
        images=0,
        attacks={"none": {"kind": "none"}, "pgd": {"kind": "pgd", "eps": "8/255", "steps": 3}},
        measure=[{"conditions": ["clean"], "attacks": ["none", "pgd"]}],
    )
    summary = parse_summary(read_json(run(config, root=tmp_path, workers=1).summary))
    told = {cell.system: cell for cell in summary.cells if cell.attack == "pgd"}
    assert told["hiding"].reliable is False
    assert told["honest"].reliable is True
    assert "false_gradient" in {c.check for c in told["hiding"].checks if c.verdict == "unreliable"}
