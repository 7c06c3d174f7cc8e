"""Every kind of detector keeps the promises of `clearsight.defend.detector_base`; a new file is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_detector import picture, tiny_yolox

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Flow, Gradient
from clearsight.defend.catalogue import DETECTORS
from clearsight.defend.detector import Detector

BUILD: dict[str, Callable[[Path], dict[str, Any]]] = {
    "onnx_detector": lambda root: {"path": str(tiny_yolox(root / "tiny.onnx")), "max_boxes": 7}
}
"""Fields of a small detector of each kind that needs some; other kinds are built from their defaults."""
KINDS = sorted(DETECTORS.kinds)


@pytest.fixture(params=KINDS)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Detector:
    fields = BUILD.get(request.param, lambda _: {})(tmp_path)
    return DETECTORS.parse({"kind": request.param, **fields}).build()


def images() -> torch.Tensor:
    shown = [picture([(1, 2, "red"), (5, 5, "green")]), picture([]), picture([(0, 0, "blue")])]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in shown]).float() / 255


def test_boxes_have_the_declared_form(built: Detector) -> None:
    x = images()
    out = built(x)
    assert out.shape == (3, built.spec.max_boxes, 6)
    assert out.dtype == torch.float32
    assert not out.requires_grad
    assert out.isfinite().all()
    for rows in out:
        there = rows[:, 5] >= 0
        # Boxes come first and are filled up; the highest score comes first.
        assert there.tolist() == sorted(there.tolist(), reverse=True)
        assert (rows[~there] == torch.tensor([0.0, 0, 0, 0, 0, -1])).all()
        scores, boxes = rows[there, 4], rows[there, :4]
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert (scores >= built.spec.score).all()
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] > 0).all()
        assert (boxes[:, 0] + boxes[:, 2] <= x.shape[3] + 1e-4).all()
        assert (boxes[:, 1] + boxes[:, 3] <= x.shape[2] + 1e-4).all()
        assert (rows[there, 5] < built.classes).all()


def test_images_are_alone_what_they_are_in_a_batch_and_input_stays(built: Detector) -> None:
    x = images()
    before = x.clone()
    together = built(x)
    assert torch.equal(x, before)
    assert torch.equal(together, torch.cat([built(one[None]) for one in x]))
    assert torch.equal(together.flip(0), built(x.flip(0)))


def test_grey_images_are_taken_and_others_refused(built: Detector) -> None:
    assert built(images()[:, :1]).shape == (3, built.spec.max_boxes, 6)
    for wrong in (
        torch.zeros(3, 64, 64),
        torch.zeros(1, 4, 64, 64),
        torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
    ):
        with pytest.raises(ShapeError):
            built(wrong)


def test_facts_and_keys(built: Detector) -> None:
    spec = built.spec
    assert (spec.takes, spec.gives) == ((Flow.IMAGES,), Flow.BOXES)
    assert spec.gradient is not Gradient.EXACT
    assert spec.onnx == "ok" or len(spec.onnx) > 10
    assert spec.purpose
    again = DETECTORS.parse(spec.model_dump(mode="json"))
    assert again.fingerprint() == spec.fingerprint()
    assert again.model_copy(update={"score": 0.5}).fingerprint() != spec.fingerprint()
    assert len(built.class_names) == built.classes > 0
