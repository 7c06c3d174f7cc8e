"""Labels: a classifier whose classes are not the data's is refused before anything is measured, or mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError
from clearsight.data.media.images import encode_png
from clearsight.data.sources.base import Entry
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import prepare
from clearsight.pipelines.systems.labels import check_labels

NAMES = st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=12, unique=True)


def entries(count: int) -> list[Entry]:
    return [Entry(f"image {label}", label, "", "") for label in range(count)]


def check(
    data: Sequence[str],
    names: Sequence[str],
    *,
    classes: int | None = None,
    mapped: bool = False,
    used: int | None = None,
) -> None:
    images = entries(len(data) if used is None else used)
    count = len(names) if classes is None else classes
    check_labels(images, data, mapped=mapped, system="it", classes=count, names=names)


def numbered(names: Sequence[str]) -> bool:
    return all(name == str(place) for place, name in enumerate(names))


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES)
def test_names_on_both_sides_must_be_equal_in_order(data: list[str], names: list[str]) -> None:
    check(data, data)
    if data == names or numbered(data) or numbered(names):
        return
    with pytest.raises(ConfigError, match="system 'it'|has label"):
        check(data, names)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.integers(2, 14))
def test_a_classifier_without_names_must_have_as_many_classes(data: list[str], classes: int) -> None:
    numbers = [str(place) for place in range(classes)]
    for names in ((), numbers):
        if classes == len(data) or (numbered(data) and classes >= len(data)):
            check(data, names, classes=classes)
        else:
            with pytest.raises(ConfigError):
                check(data, names, classes=classes)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.randoms())
def test_another_order_is_refused_with_the_map_that_mends_it(data: list[str], chance: Any) -> None:
    names = list(data)
    chance.shuffle(names)
    if names == data or numbered(data) or numbered(names):
        return
    with pytest.raises(ConfigError, match="classes in another order") as caught:
        check(data, names)
    assert all(f"'{name}': {place}" in caught.value.hint for place, name in enumerate(names))


def test_a_map_is_believed_where_it_does_not_contradict_the_names() -> None:
    check(["0", "cat", "dog"], ["bird", "cat", "dog"], mapped=True)
    check(["feline", "canine"], ["cat", "dog", "bird"], mapped=True)
    check(["a", "b"], (), classes=1000, mapped=True)
    with pytest.raises(ConfigError, match="'cat' the index 0, the classifier calls 1 by that name"):
        check(["cat", "dog"], ["dog", "cat"], mapped=True)


def test_names_of_a_classifier_are_as_many_as_its_classes() -> None:
    with pytest.raises(ConfigError, match="names 2 of its 3 classes"):
        check(["a", "b", "c"], ["a", "b"], classes=3)


def test_images_without_labels_need_no_classes() -> None:
    check((), ["a", "b"], used=0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name, channel in (("red", 0), ("green", 1), ("blue", 2)):
        (tmp_path / "in" / name).mkdir(parents=True)
        pixels = np.zeros((16, 16, 3), np.uint8)
        pixels[..., channel] = 200
        (tmp_path / "in" / name / "x.png").write_bytes(encode_png(pixels))
    return tmp_path / "in"


def config(data: dict[str, Any], **classifier: Any) -> Evaluate:
    return Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "labels",
            "data": data,
            "parts": {"classify": {"kind": "python", "call": "toy:brightest", "classes": 3} | classifier},
            "systems": {"plain": ["classify"]},
            "conditions": {"clean": {"kind": "identity"}},
        }
    )


def test_a_run_is_refused_before_it_begins_and_a_map_lets_it_run(images: Path, tmp_path: Path) -> None:
    """The folder sorts blue, green, red; the classifier's logits are red, green, blue."""
    named = {"class_names": ("red", "green", "blue")}
    data = {"kind": "folder", "path": str(images)}
    with pytest.raises(ConfigError, match=r"another order; write data.label_map: \{'red': 0"):
        prepare(config(data, **named), root=tmp_path, device="cpu")
    with pytest.raises(ConfigError, match="other classes than the data have"):
        prepare(config(data, class_names=("stop", "yield", "go")), root=tmp_path, device="cpu")
    told = data | {"label_map": {"red": 0, "green": 1, "blue": 2}}
    plan = prepare(config(told, **named), root=tmp_path, device="cpu")
    assert plan.intake.classes == ("red", "green", "blue")
    joined = {"kind": "joined", "of": [told, told]}
    assert prepare(config(joined, **named), root=tmp_path, device="cpu").intake.classes == plan.intake.classes


def test_fewer_class_folders_than_classes_are_refused(images: Path, tmp_path: Path) -> None:
    """Labels by sorted folders would be shifted, in range and wrong."""
    (images / "blue" / "x.png").unlink()
    (images / "blue").rmdir()
    with pytest.raises(ConfigError, match="the data have 2 classes, the classifier has 3 without names"):
        prepare(config({"kind": "folder", "path": str(images)}), root=tmp_path, device="cpu")


def test_sources_say_whether_they_are_mapped() -> None:
    plain, told = {"kind": "signs", "count": 3}, {"kind": "signs", "count": 3, "label_map": {"stop": 0}}
    assert [SOURCES.parse(each).mapped for each in (plain, told)] == [False, True]
    assert [SOURCES.parse({"kind": "joined", "of": [plain, each]}).mapped for each in (plain, told)] == [
        False,
        True,
    ]
