"""What users bring: their channel order, range and outputs are understood, their errors are one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.defend.classifiers.python import PythonClassifier
from clearsight.defend.foreign import IMAGENET, ForeignClassifier

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, form="logits", order="rgb", white=1.0):
        super().__init__()
        self.head = nn.Linear(3, 4)
        with torch.no_grad():
            self.head.weight.copy_(torch.arange(12.0).view(4, 3) / 6)
            self.head.bias.zero_()
        self.form, self.order, self.white = form, order, white

    def forward(self, x):
        x = x / self.white
        x = x.flip(1) if self.order == "bgr" else x
        out = self.head(x.mean((2, 3)))
        return {"logits": out, "probabilities": out.softmax(1), "log_probabilities": out.log_softmax(1)}[self.form]


class Failing(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise {"value": ValueError, "runtime": RuntimeError, "key": KeyError, "none": AttributeError}[self.error](
            "first line\\nsecond line"
        )


def double():
    return Net().double()


def half():
    return Net().half()


def large():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 4))


def lazy():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(4))


def missing():
    return open("/nonexistent/weights")


def stopped():
    raise ZeroDivisionError("in the maker")
"""


@pytest.fixture
def code(tmp_path: Path) -> str:
    (tmp_path / "m.py").write_text(CODE)
    return str(tmp_path / "m.py")


def images() -> torch.Tensor:
    return torch.rand((5, 3, 8, 8), generator=Rng(0).at("foreign").torch())


def logits(code: str, what: str = "Net", **fields: Any) -> torch.Tensor:
    with torch.no_grad():
        return PythonClassifier(call=f"{code}:{what}", classes=4, **fields).build()(images())


@pytest.mark.parametrize("form", ["logits", "probabilities", "log_probabilities"])
def test_every_kind_of_output_gives_the_same_probabilities(code: str, form: Any) -> None:
    plain = logits(code).softmax(1)
    told = logits(code, arguments={"form": form}, output=form)
    torch.testing.assert_close(told.softmax(1), plain)


def test_probabilities_of_zero_stay_finite(code: str) -> None:
    spec = PythonClassifier(call=f"{code}:Net", classes=4, output="probabilities")
    found = spec.as_logits(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    assert found.isfinite().all()
    torch.testing.assert_close(found.softmax(1), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("white", [1.0, 255.0])
def test_channel_order_and_range(code: str, order: Any, white: float) -> None:
    told = logits(code, arguments={"order": order, "white": white}, channel_order=order, value_range=white)
    torch.testing.assert_close(told, logits(code))
    if order == "bgr":
        assert (logits(code, arguments={"order": order}) - logits(code)).abs().max() > 0.01


def test_statistics_of_imagenet(code: str) -> None:
    by_hand = logits(code, mean=IMAGENET["mean"], std=IMAGENET["std"])
    torch.testing.assert_close(logits(code, statistics="imagenet"), by_hand)
    spec = PythonClassifier(call=f"{code}:Net", classes=4, statistics="imagenet")
    assert PythonClassifier.model_validate(spec.model_dump()) == spec
    for fields in ({"mean": (0, 0, 0)}, {"channel_order": "bgr"}, {"value_range": 255}):
        with pytest.raises(ValidationError, match="statistics"):
            PythonClassifier.model_validate(
                {"call": f"{code}:Net", "classes": 4, "statistics": "imagenet"} | fields
            )


@pytest.mark.parametrize("what", ["double", "half"])
def test_parameters_of_another_precision(code: str, what: str) -> None:
    torch.testing.assert_close(logits(code, what), logits(code), atol=2e-3, rtol=1e-2)


@pytest.mark.parametrize("error", ["value", "runtime", "key", "none"])
def test_errors_of_the_network_are_one_line(code: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        logits(code, "Failing", arguments={"error": error})
    message = str(caught.value)
    assert "m.py:Failing" in message
    assert "fails on float32 images (5, 3, 8, 8)" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("large", "fails on float32 images"),
        ("lazy", "layers without a size"),
        ("missing", "FileNotFoundError"),
        ("stopped", "ZeroDivisionError: in the maker"),
    ],
)
def test_what_cannot_work_names_the_part(code: str, what: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        logits(code, what)
    assert words in str(caught.value)
    assert f"m.py:{what}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_foreign_kinds_have_the_fields() -> None:
    from clearsight.defend.catalogue import CLASSIFIERS

    foreign = {kind for kind, spec in CLASSIFIERS.kinds.items() if issubclass(spec, ForeignClassifier)}
    assert foreign == {"onnx", "python", "timm", "torchvision", "huggingface"}
    assert {kind for kind, spec in CLASSIFIERS.kinds.items() if spec.foreign} == foreign
