"""What every certificate in the registry must do; a new file is tested by being there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attack_toys import Precise, ToyTarget, flattened, linear, random_images
from torch import nn

from clearsight.data.contract.rng import Rng
from clearsight.defend.catalogue import CERTIFICATES
from clearsight.defend.certify.base import ABSTAINS, Certificate
from clearsight.defend.certify.smoothing import Smoothing
from clearsight.defend.target import AttackBatch

SHAPE, CLASSES = (3, 6, 6), 4


def few(kind: str) -> dict[str, Any]:
    """Return settings with few votes, where a kind counts votes."""
    return {"n0": 8, "n": 40} if issubclass(CERTIFICATES[kind], Smoothing) else {}


ROWS: dict[str, list[dict[str, Any]]] = {
    "randomized_smoothing": [{"n0": 8, "n": 40, "sigma": 0.2}, {"n0": 8, "n": 150, "radius": 0.1}],
    "ibp": [{"eps": 0.002}, {"eps": 0.05, "halvings": 8}],
    "crown": [{"eps": 0.002}, {"eps": 0.05, "halvings": 8}],
    "dual_randomized_smoothing": [{"n0": 8, "n": 40, "sigma": 0.2}, {"n0": 8, "n": 150, "radius": 0.1}],
}
"""Small settings of each kind. A kind that is not here is tried with its defaults, but for few votes."""
CASES = [(kind, fields) for kind in CERTIFICATES.kinds for fields in ROWS.get(kind, [few(kind)])]
each_case = pytest.mark.parametrize(
    ("kind", "fields"), CASES, ids=["-".join([kind, *map(str, fields)]) for kind, fields in CASES]
)


def network(*, constant: bool = False) -> nn.Module:
    """Return a small network of layers that every kind can bound."""
    head = linear(CLASSES, (24,))
    if constant:
        head.weight.data.zero_()
        head.bias.data = torch.tensor([0.0, 3.0, 0.0, 0.0])
    body = linear(24, SHAPE)
    body.weight.data /= 10
    return flattened(nn.Sequential(body, nn.ReLU(), head))


def batch_of(n: int, *, names: str = "image") -> AttackBatch:
    images = random_images(n, SHAPE)
    labels = network()(images).argmax(1)
    return AttackBatch(images, labels, tuple(f"{names}-{i}" for i in range(n)), torch.arange(n))


def certified(certificate: Certificate, batch: AttackBatch, model: nn.Module | None = None) -> torch.Tensor:
    target = ToyTarget(Precise(model or network()), CLASSES, 64)
    return certificate(target, batch, Rng(0).at("certify"))


def test_every_row_is_of_a_kind() -> None:
    assert set(ROWS) <= set(CERTIFICATES.kinds)


@each_case
def test_the_result_has_one_row_an_image(kind: str, fields: dict[str, Any], no_global_rng: None) -> None:
    certificate = CERTIFICATES.parse({"kind": kind} | fields)
    assert certificate.purpose
    assert [column.name for column in certificate.columns][:3] == ["prediction", "radius", "voted"]
    found = certified(certificate, batch_of(5))
    assert found.shape == (5, len(certificate.columns))
    assert found.dtype == torch.float64
    prediction, radius = found[:, 0], found[:, 1]
    assert set(prediction.tolist()) <= {ABSTAINS, *range(CLASSES)}
    assert ((prediction == ABSTAINS) == (radius == 0)).all()
    assert (radius <= certificate.largest).all()
    assert ((prediction == ABSTAINS) | (prediction == found[:, 2])).all()


@each_case
def test_an_image_is_certified_the_same_in_any_company(kind: str, fields: dict[str, Any]) -> None:
    certificate = CERTIFICATES.parse({"kind": kind} | fields)
    batch = batch_of(5)
    whole = certified(certificate, batch)
    turned = certified(certificate, batch.of(torch.tensor([4, 2, 0])))
    assert torch.equal(turned, whole[[4, 2, 0]])


@each_case
def test_it_costs_no_more_passes_than_it_says(kind: str, fields: dict[str, Any]) -> None:
    certificate = CERTIFICATES.parse({"kind": kind} | fields)
    if "batch" in type(certificate).model_fields:
        certificate = certificate.model_copy(update={"batch": 8})
    seen: list[int] = []
    model = Precise(network())
    model.register_forward_hook(lambda _module, args, _out: seen.append(len(args[0])))
    certified(certificate, batch_of(2), model)
    # The last batch of a round is filled up.
    slack = 8 * len(getattr(certificate, "views", ())) * (1 + len(getattr(certificate, "looks", ())))
    assert sum(seen) <= 2 * certificate.passes() + slack


@each_case
def test_a_constant_answer_has_the_largest_radius(kind: str, fields: dict[str, Any]) -> None:
    certificate = CERTIFICATES.parse({"kind": kind} | fields)
    found = certified(certificate, batch_of(2), network(constant=True))
    assert (found[:, 0] == 1).all()
    wanted = getattr(certificate, "radius", None) or certificate.largest
    assert (found[:, 1] >= wanted - 1e-9).all()


@each_case
def test_it_goes_through_yaml_and_its_key_changes_with_every_field(kind: str, fields: dict[str, Any]) -> None:
    certificate = CERTIFICATES.parse({"kind": kind} | fields)
    again = CERTIFICATES.parse(certificate.model_dump(mode="json"))
    assert again == certificate
    assert again.key() == certificate.key()
    assert certificate.model_copy(update={"images": 3}).key() != certificate.key()
