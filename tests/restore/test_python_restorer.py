"""A restorer of the user's own code: how it is given images, what is tried of its claims, what it may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.learned.python_restorer import PythonRestorer
from clearsight.restore.restorer import Restorer

CODE = """
import numpy as np
import torch
from torch import nn

calls = []


def build(weight=0.5):
    calls.append(weight)
    made = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(made.weight, weight)
    return made


class Half:
    def __init__(self, by=2):
        self.by = by

    def __call__(self, image):
        return image // self.by


def half(image, by=2):
    return image // by


def first_only(image):
    image = image.copy()
    image[..., 1:] = 0
    return image


def doubled(image):
    return image.repeat(2, axis=0).repeat(2, axis=1)


def inverted(image):
    assert image.dtype == np.float32
    return 255 - image


def grain(image, rng, level=3):
    noise = rng.integers(-level, level + 1, image.shape)
    return np.clip(image.astype(np.int64) + noise, 0, 255).astype(np.uint8)


def dither(x, generator):
    return x + 0.1 * torch.rand(x.shape, generator=generator)


def restless(image):
    return np.random.default_rng().integers(0, 255, image.shape).astype(np.uint8)


def bright(x):
    return 255 * x


def infinite(x):
    return x / 0


def in_place(x):
    return x.mul_(0.5)


def centred(x):
    return x - x.mean() + 0.5


def coarse(x):
    return (7 * x).round() / 7


def liar(x):
    return x.square().detach() + 0.1 * x - 0.1 * x.detach()


def eights(x):
    assert x.shape[2] % 8 == x.shape[3] % 8 == 0
    return x + 0


def wrong():
    return 3


def not_square(x):
    return x[:, :, 1:]


def grey(image):
    return image[..., 0]
"""


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Return a function from a name and fields to a spec."""
    (tmp_path / "mine.py").write_text(CODE)

    def spec(name: str, **fields: Any) -> PythonRestorer:
        found = RESTORERS.parse({"kind": "python_restorer", "call": f"{tmp_path}/mine.py:{name}"} | fields)
        assert isinstance(found, PythonRestorer)
        return found

    return spec


def images(*shape: int) -> Tensor:
    """Return images in whole grey levels."""
    return torch.randint(0, 256, shape, generator=Rng(0).at("own").torch()) / 255


def test_a_uint8_function_gets_grey_levels_and_gives_them(made: Any) -> None:
    x = images(2, 3, 9, 11)
    expected = (x * 255).round().div(2, rounding_mode="floor") / 255
    for name in ("half", "Half"):
        torch.testing.assert_close(made(name, images="uint8").build()(x), expected)
    third = (x * 255).round().div(3, rounding_mode="floor") / 255
    for name in ("half", "Half"):
        torch.testing.assert_close(made(name, images="uint8", arguments={"by": 3}).build()(x), third)


def test_code_may_write_into_what_it_is_given(made: Any) -> None:
    x = images(1, 3, 9, 11)
    before = x.clone()
    torch.testing.assert_close(made("in_place").build()(x), 0.5 * before)
    assert torch.equal(x, before)


def test_channels_come_in_the_declared_order(made: Any) -> None:
    x = images(1, 3, 9, 11)
    for order, channel in (("rgb", 0), ("bgr", 2)):
        out = made("first_only", images="uint8", channels=(3,), channel_order=order).build()(x)
        kept = torch.zeros_like(x)
        kept[:, channel] = x[:, channel]
        torch.testing.assert_close(out, kept)


def test_white_is_what_is_declared(made: Any) -> None:
    x = images(1, 1, 9, 11)
    torch.testing.assert_close(made("inverted", images="float", value_range=255).build()(x), 1 - x)
    torch.testing.assert_close(made("bright", value_range="1/255").build()(x), 255 * x.clamp(max=1 / 255))


def test_grey_images_may_lose_their_axis(made: Any) -> None:
    x = images(2, 1, 9, 11)
    torch.testing.assert_close(made("grey", images="uint8", channels=(1,)).build()(x), x)


def test_an_enlarging_function_and_its_surrogate_have_one_size(made: Any) -> None:
    spec = made("doubled", images="uint8", scale=2)
    spec.ready()
    x, part = images(1, 3, 9, 11), spec.build()
    expected = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(part(x), expected)
    assert part.surrogate(x).shape == expected.shape


def test_a_factory_is_called_once_and_its_parts_do_not_share_weights(made: Any) -> None:
    spec = made("build", factory=True, channels=(1,), arguments={"weight": 0.25})
    calls = spec.function().__globals__["calls"]
    spec.ready()
    parts = [spec.build() for _ in range(3)]
    spec.fingerprint()
    assert calls == [0.25]
    x = images(1, 1, 9, 9)
    torch.testing.assert_close(parts[0](x), 0.25 * x)
    with torch.no_grad():
        for parameter in parts[0].parameters():
            parameter.zero_()
    torch.testing.assert_close(parts[1](x), 0.25 * x)


def test_a_tensor_module_keeps_its_gradient_and_an_array_has_none(made: Any) -> None:
    x = images(1, 1, 9, 9).requires_grad_()
    exact = made("build", factory=True, channels=(1,)).build()
    (gradient,) = torch.autograd.grad(exact(x).sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 0.5))
    array = made("half", images="uint8")
    assert array.gradient is Gradient.SURROGATE
    assert array.onnx == "it runs on numpy arrays"
    assert not array.build()(x).requires_grad
    (gradient,) = torch.autograd.grad(array.build().surrogate(x).sum(), x)
    torch.testing.assert_close(gradient, torch.ones_like(x))


@pytest.mark.parametrize(("name", "form"), [("grain", "uint8"), ("dither", "tensor")])
def test_a_random_one_draws_from_what_it_is_given(name: str, form: str, made: Any) -> None:
    spec = made(name, images=form, stochastic=True)
    spec.ready()
    x = images(2, 3, 16, 16) * 0.5 + 0.25

    def drawn(*numbers: int) -> Tensor:
        part: Restorer = spec.build()
        part.streams = [Rng(1).at("image", number) for number in numbers]
        return part(x[: len(numbers)])

    together = drawn(0, 1)
    assert torch.equal(together, drawn(0, 1))
    assert torch.equal(together[:1], drawn(0))
    assert not torch.equal(together[:1], drawn(5))


@pytest.mark.parametrize(
    ("name", "fields", "match"),
    [
        ("restless", {"images": "uint8"}, "equal images different results; declare 'stochastic: true'"),
        ("bright", {}, "as shares of white; set 'value_range'"),
        ("infinite", {}, "not finite"),
        ("centred", {}, "in company than alone .*add 'alone: true'"),
        ("coarse", {}, "no gradient comes through it; declare 'gradient: surrogate'"),
        ("liar", {}, "its slope is .* times what its gradient says"),
        ("eights", {}, "'multiple_of'"),
        ("half", {"images": "uint8", "scale": 2}, r"gives \(24, 25, 1\) of uint8 for \(24, 25, 1\)"),
        ("half", {"images": "float"}, "on noise of mean 0.5 it gives values from 0 to 0"),
        ("not_square", {}, r"gives \(3, 1, 23, 25\) for \(3, 1, 24, 25\)"),
        ("wrong", {"factory": True}, "returns a int, which restores nothing"),
        ("build", {"factory": True}, "to have 1 channels"),
        ("centred", {"alone": True, "receptive_field": 5}, "more than 2 away; leave 'receptive_field' out"),
        ("buidl", {}, "did you mean 'build'"),
    ],
)
def test_claims_that_do_not_hold_are_refused(
    name: str, fields: dict[str, Any], match: str, made: Any
) -> None:
    spec = made(name, **fields)
    with pytest.raises(ConfigError, match=match):
        spec.ready()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("centred", {"alone": True}),
        ("coarse", {"gradient": "surrogate"}),
        ("liar", {"gradient": "blocked"}),
        ("eights", {"multiple_of": 8}),
        ("doubled", {"images": "uint8", "scale": 2}),
        ("half", {"images": "uint8", "receptive_field": 1}),
    ],
)
def test_claims_that_hold_pass(name: str, fields: dict[str, Any], made: Any) -> None:
    made(name, **fields).ready()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"images": "uint8", "gradient": "exact"}, "autograd stops"),
        ({"images": "uint8", "value_range": 255}, "white is 255"),
        ({"images": "float", "onnx": "ok"}, "cannot be exported"),
        ({"weights": "any"}, "loads its own weights"),
        ({"receptive_field": 4}, "odd number"),
        ({"channels": ()}, "at least 1"),
    ],
)
def test_fields_that_contradict_each_other(fields: dict[str, Any], match: str, made: Any) -> None:
    with pytest.raises(ValidationError, match=match):
        made("half", **fields)


def test_the_fingerprint_follows_code_fields_and_state(made: Any, tmp_path: Path) -> None:
    key = made("half", images="uint8").fingerprint()
    assert key == made("half", images="uint8").fingerprint()
    assert key != made("half", images="uint8", arguments={"by": 3}).fingerprint()
    (tmp_path / "mine.py").write_text(CODE.replace("image // by", "image // by + 1"))
    assert key != made("half", images="uint8").fingerprint()
    weights = {made("build", factory=True, arguments={"weight": w}).fingerprint() for w in (0.5, 0.25)}
    assert len(weights) == 2


def test_a_file_that_cannot_be_imported_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def f(:\n")
    with pytest.raises(ConfigError, match=r"cannot import .*bad.py: SyntaxError: ") as caught:
        PythonRestorer(call=f"{tmp_path}/bad.py:f").ready()
    assert "\n" not in str(caught.value)
