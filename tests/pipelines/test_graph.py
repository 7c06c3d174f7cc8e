from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Flow
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.classifiers.small_convnet import SmallConvNet
from clearsight.defend.classifiers.tent import Tent
from clearsight.pipelines.systems.fusion.base import FusionSpec
from clearsight.pipelines.systems.fusion.mean_images import MeanImages
from clearsight.pipelines.systems.fusion.mean_logits import MeanLogits
from clearsight.pipelines.systems.graph import OUT, Node, Step, chain, wire
from clearsight.pipelines.systems.system import System
from clearsight.restore.classical.bicubic import Bicubic
from clearsight.restore.classical.gamma import Gamma
from clearsight.restore.classical.random_resize import RandomResize


class Means(ClassifierSpec):
    """Classifies by the brightest colour."""

    classes: int = 3

    def network(self) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Gate(FusionSpec):
    """Takes two inputs of different types."""

    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES, Flow.LOGITS)
    gives: ClassVar[Flow] = Flow.IMAGES
    variadic: ClassVar[bool] = False

    def fuse(self, inputs: Any) -> torch.Tensor:
        images, logits = inputs
        return images * logits.softmax(1)[:, :, None, None]


PARTS: dict[str, Any] = {
    "bright": Gamma(gamma=0.5),
    "dark": Gamma(gamma=2.0),
    "big": Bicubic(scale=2),
    "classify": Means(),
    "vote": MeanLogits(),
    "mix": MeanImages(),
    "gate": Gate(),
}


def nodes(**named: Mapping[str, Any]) -> dict[str, Node]:
    return {name: Node.model_validate(node) for name, node in named.items()}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 17, 20, generator=Rng(0).at("images").torch())


def test_a_chain_equals_its_parts_one_after_the_other(images: torch.Tensor) -> None:
    graph = wire(["bright", "classify"], PARTS)
    assert graph.describe() == "image → bright → classify"
    assert (graph.gives, graph.restored) == ("logits", "bright")
    expected = PARTS["classify"].build()(PARTS["bright"].build()(images))
    assert torch.equal(graph.build()(images), expected)
    assert torch.equal(chain(PARTS["bright"], PARTS["classify"]).build()(images), expected)


def test_a_graph_with_branches(images: torch.Tensor) -> None:
    graph = wire(
        nodes(
            out={"use": "vote", "of": ["a", "b"]},
            a={"use": "classify", "of": "image"},
            b={"use": "classify", "of": "lit"},
            lit={"use": "bright"},
        ),
        PARTS,
    )
    system = graph.build()
    found = system.trace(images)
    assert set(found) == {"image", "lit", "a", "b", "out"}
    expected = (found["a"].log_softmax(1) + found["b"].log_softmax(1)) / 2
    torch.testing.assert_close(found["out"], expected)
    assert system.classes == 3
    assert system.part("classify") is system.part("classify")


def test_without_its_restorers_a_system_is_its_classifier_alone(images: torch.Tensor) -> None:
    alone = wire(["classify"], PARTS)
    for parts in (["bright", "classify"], ["bright", "dark", "classify"]):
        found = wire(parts, PARTS).unrestored
        assert found is not None
        assert found.fingerprint() == alone.fingerprint()
    # A vote of a restored and an unrestored branch becomes a vote of two equal ones.
    branches = nodes(
        lit={"use": "bright"},
        mixed={"use": "mix", "of": ["lit", "image"]},
        a={"use": "classify", "of": "image"},
        b={"use": "classify", "of": "mixed"},
        out={"use": "vote", "of": ["a", "b"]},
    )
    found = wire(branches, PARTS).unrestored
    assert found is not None
    assert {step.name: step.inputs for step in found.steps} == {
        "a": ("image",),
        "b": ("image",),
        "out": ("a", "b"),
    }
    torch.testing.assert_close(found.build()(images), alone.build()(images).log_softmax(1))
    # Nothing restored, nothing classified.
    assert alone.unrestored is None
    assert wire(["bright", "dark"], PARTS).unrestored is None


def test_gradients_flow_through_the_whole_system(images: torch.Tensor) -> None:
    system = wire(["bright", "classify"], PARTS).build()
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(system(x)[:, 0].sum(), x)
    assert (gradient[:, 0] != 0).all()
    assert (gradient[:, 1:] == 0).all()


def test_a_part_used_twice_in_a_chain(images: torch.Tensor) -> None:
    graph = wire(["bright", "bright", "classify"], PARTS)
    one = PARTS["bright"].build()
    torch.testing.assert_close(graph.build().trace(images)[str(graph.restored)], one(one(images)))


def test_systems_without_a_classifier_give_images(images: torch.Tensor) -> None:
    graph = wire(["bright", "big"], PARTS)
    assert graph.gives == "images"
    assert graph.build().classes is None
    assert graph.build()(images).shape == (2, 3, 34, 40)


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (["brigth", "classify"], "no part 'brigth'; did you mean 'bright'"),
        (["classify", "bright"], "takes images, but is fed logits"),
        ([], "at least one part"),
        (nodes(out={"use": "classify", "of": "nowhere"}), "fed by 'nowhere'"),
        (nodes(a={"use": "bright"}), "no node is called 'out'"),
        (nodes(out={"use": "bright", "of": "b"}, b={"use": "dark", "of": "out"}), "circle"),
        (nodes(out={"use": "classify"}, idle={"use": "bright"}), "nothing uses node 'idle'"),
        (nodes(out={"use": "classify", "of": ["image", "image"]}), "takes one input"),
        (nodes(out={"use": "vote", "of": ["image", "image"]}), "takes logits, but is fed images"),
        (nodes(out={"use": "gate", "of": ["image", "image"]}), "takes logits, but is fed images"),
        (nodes(out={"use": "gate"}), "takes 2 inputs, got 1"),
        (
            nodes(image={"use": "bright"}, out={"use": "classify", "of": "image"}),
            "call the node something else",
        ),
    ],
)
def test_wiring_mistakes_are_named(system: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wire(system, PARTS)
    assert words in str(caught.value)


def test_branches_of_different_sizes_are_refused_by_name(images: torch.Tensor) -> None:
    graph = wire(
        nodes(a={"use": "big"}, out={"use": "mix", "of": ["a", "image"]}),
        PARTS,
    )
    with pytest.raises(ShapeError, match="mean_images: its inputs differ in shape"):
        graph.build()(images)


def test_the_fingerprint_is_of_the_content_not_of_the_names() -> None:
    renamed = {f"x_{name}": spec for name, spec in PARTS.items()}
    assert (
        wire(["bright", "classify"], PARTS).fingerprint()
        == wire(["x_bright", "x_classify"], renamed).fingerprint()
    )
    assert (
        wire(["bright", "classify"], PARTS).fingerprint() != wire(["dark", "classify"], PARTS).fingerprint()
    )
    assert wire(["bright", "dark"], PARTS).fingerprint() != wire(["dark", "bright"], PARTS).fingerprint()


def test_around_sees_every_part(images: torch.Tensor) -> None:
    seen = []

    def around(step: Step, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        seen.append(step.part_name)
        return compute()

    system = System(wire(["bright", "dark", "classify"], PARTS))
    torch.testing.assert_close(system.trace(images, around)["out"], system(images))
    assert seen == ["bright", "dark", "classify"]


def test_equal_steps_have_equal_keys_whatever_they_are_called() -> None:
    one = wire(["bright", "dark", "classify"], PARTS).step_keys()
    two = wire(["bright", "classify"], PARTS).step_keys()
    assert list(one) == ["bright", "dark", OUT]
    assert one["bright"] == two["bright"]
    # The same classifier on other images.
    assert one[OUT] != two[OUT]


def test_random_steps_and_those_that_keep_a_state_have_no_key_nor_has_what_is_behind_them() -> None:
    parts = PARTS | {"noise": RandomResize(), "tent": Tent(classifier=SmallConvNet(classes=3))}
    assert list(wire(["bright", "noise", "classify"], parts).step_keys()) == ["bright"]
    assert list(wire(["bright", "tent"], parts).step_keys()) == ["bright"]
