"""Several models behind one server, several images in one request, and the classifier alone beside the system."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asking import Answer, ask, png
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_onnx import tiny

from clearsight.data.contract.errors import ConfigError
from clearsight.data.media.images import decode
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.serving.app import create_app
from clearsight.pipelines.serving.forms import MOST_FILES, files
from clearsight.pipelines.serving.limits import Limits, RefusedError
from clearsight.pipelines.serving.middleware import LOCAL
from clearsight.pipelines.serving.models import models
from clearsight.pipelines.serving.service import InferenceService

IMAGE = png("a", 10, 12, 3)
FORM = {"content-type": "multipart/form-data; boundary=frontier"}


@pytest.fixture
def sessions(tmp_path: Path) -> list[Session]:
    """Return a system whose restorer enlarges, its classifier alone, and a system that restores only."""
    told: dict[str, Any] = {"gives": ("logits", "image"), "minimum": 4}
    return [
        Session(tiny(tmp_path / "whole.onnx", scale=2, unrestored_key="alone", **told), "cpu", 1),
        Session(tiny(tmp_path / "alone.onnx", config_key="alone", minimum=8), "cpu", 1),
        Session(tiny(tmp_path / "images.onnx", gives=("image",)), "cpu", 1),
    ]


@pytest.fixture
def app(sessions: list[Session]) -> Iterator[Any]:
    service = InferenceService(models(sessions), Limits(pixels=5000))
    yield create_app(service, 2, LOCAL)
    service.close()
    assert (service.places.held, service.bytes.held) == (0, 0)
    assert service.pixels.free == service.pixels.most


def post(app: Any, target: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    return asyncio.run(ask(app, target, body, headers=headers))


def form(*parts: tuple[str, bytes]) -> bytes:
    """Return a form as curl sends it."""
    made = b"".join(
        f'--frontier\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in parts
    )
    return made + b"--frontier--\r\n"


def labels(predictions: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(each["label"], pytest.approx(each["probability"], abs=1e-6)) for each in predictions]


def test_a_request_chooses_its_model(app, sessions):
    whole, alone, _ = sessions
    first = post(app, "/v1/predict", IMAGE).json
    assert whole.classify([decode(IMAGE)]).top(2)[0] == labels(first["predictions"])
    for target in ("/v1/models/alone/predict", "/v1/predict?model=alone"):
        other = post(app, target, IMAGE).json
        assert alone.classify([decode(IMAGE)]).top(2)[0] == labels(other["predictions"])
    assert post(app, "/v1/models/images/restore", IMAGE).headers["content-type"] == "image/png"
    assert post(app, "/v1/models/alone/restore", IMAGE).what == "the file gives no images"
    wrong = post(app, "/v1/models/none/predict", IMAGE)
    assert (wrong.status, wrong.what) == (404, "no model 'none' is served")
    told = asyncio.run(ask(app, "/v1/models", method="GET")).json["models"]
    assert [(each["model"], each["unrestored"]) for each in told] == [
        ("whole", "alone"),
        ("alone", None),
        ("images", None),
    ]
    told = app.service.metrics.registry.get_sample_value
    path = {"endpoint": "/v1/models/alone/predict", "status": "200"}
    assert told("clearsight_requests_total", path) == 1
    assert told("clearsight_requests_total", {"endpoint": "other", "status": "404"}) == 1


def test_what_the_classifier_alone_says_stands_beside(app, sessions):
    whole, alone, _ = sessions
    both = post(app, "/v1/predict?unrestored=true&restored=true&top=3", IMAGE).json
    assert whole.classify([decode(IMAGE)]).top(3)[0] == labels(both["predictions"])
    assert alone.classify([decode(IMAGE)]).top(3)[0] == labels(both["unrestored"])
    assert both["restored"]
    assert "unrestored" not in post(app, "/v1/models/alone/predict?unrestored=true", IMAGE).json
    # Too small for the classifier alone, but not for the restorer that enlarges: one answer, and a reason.
    small = post(app, "/v1/predict?unrestored=true", png("small", 6, 6, 3)).json
    assert len(small["predictions"]) == 2
    assert "unrestored" not in small
    assert small["notes"] == [
        "the classifier alone has no answer: the image has 6x6 pixels, the file takes images from 8x8 pixels on"
    ]


def test_each_image_of_a_batch_has_its_own_answer_or_error(app, sessions):
    shapes = {"a.png": (10, 12, 3), "b.png": (9, 9, 3), "c.png": (10, 12, 3)}
    good = {name: png(name, *shape) for name, shape in shapes.items()}
    sent = [("a.png", good["a.png"]), ("text.png", b"text"), ("empty.png", b""), ("b.png", good["b.png"])]
    sent += [("tiny.png", png("t", 2, 9, 3)), ("large.png", png("l", 40, 30, 3)), ("c.png", good["c.png"])]
    answer = post(app, "/v1/batch?top=1&unrestored=true&restored=true", form(*sent), FORM)
    assert answer.status == 200
    images = answer.json["images"]
    assert [each["file"] for each in images] == [name for name, _ in sent]
    # 40 by 30 pixels become 4800, with those before it more than 5000; the small one behind it fits again.
    assert [each["status"] for each in images] == [200, 422, 422, 200, 422, 413, 200]
    for told in images:
        if told["status"] == 200:
            alone = post(app, "/v1/predict?top=1&unrestored=true&restored=true", good[told["file"]]).json
            assert labels(told["answer"].pop("predictions")) == labels(alone.pop("predictions"))
            assert labels(told["answer"].pop("unrestored")) == labels(alone.pop("unrestored"))
            assert told["answer"] == alone
            assert "error" not in told
        else:
            assert set(told) == {"file", "status", "error"}
    assert [each["error"]["what"] for each in images if "error" in each] == [
        "the body is not an image in a supported format",
        "the body is empty",
        "the image has 9x2 pixels, the file takes images from 4x4 pixels on",
        "with this image the request has more than 5,000 pixels",
    ]


def test_images_of_one_size_are_computed_together(app):
    names = [f"{at}.png" for at in range(6)]
    sent = form(*((name, png(name, 8, 8, 3)) for name in names))
    images = post(app, "/v1/batch", sent, FORM).json["images"]
    assert [each["file"] for each in images] == names
    told = app.service.metrics.registry.get_sample_value
    assert told("clearsight_batch_images_sum") == 6


@pytest.mark.parametrize(
    ("body", "headers", "status", "what"),
    [
        (b"", FORM, 422, "the body is empty"),
        (IMAGE, {}, 422, "the body is not a form"),
        (IMAGE, {"content-type": "multipart/form-data"}, 422, "the body is not a form"),
        (IMAGE, FORM, 422, "the form is damaged"),
        (form(("a.png", IMAGE))[:-20], FORM, 422, "the form is damaged"),
        (b"--frontier--\r\n", FORM, 422, "the form has no files"),
        (b"--frontier\r\n\r\n\r\n--frontier--", FORM, 422, "the form is damaged"),
        (
            b'--frontier\r\nContent-Disposition: form-data; name="top"\r\n\r\n3\r\n--frontier--',
            FORM,
            422,
            "the form's field 'top' is no file",
        ),
        (form(*[("a", b"x")] * (MOST_FILES + 1)), FORM, 413, f"the form has more than {MOST_FILES} files"),
    ],
)
def test_forms_that_cannot_be_read_are_refused_whole(app, body, headers, status, what):
    answer = post(app, "/v1/batch", body, headers)
    assert (answer.status, answer.what) == (status, what)


@settings(max_examples=50, deadline=None)
@given(
    sent=st.lists(st.tuples(st.sampled_from(["a b.png", "é.png", ""]), st.binary(max_size=40)), min_size=1)
)
def test_forms_come_apart_into_what_was_sent(sent):
    marked = [(name, content.replace(b"--frontier", b"")) for name, content in sent]
    assert files(form(*marked[:MOST_FILES]), FORM["content-type"]) == marked[:MOST_FILES]


@settings(max_examples=100, deadline=None)
@given(data=st.lists(st.sampled_from([b"--frontier", b"--", b"\r\n", b"\n", b"x", b"filename=y", b"\xff"])))
def test_no_form_makes_the_reader_fail(data):
    with suppress(RefusedError):
        assert files(b"".join(data), FORM["content-type"])


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    same = [tmp_path / "m.onnx", tmp_path / "other" / "m.onnx"]
    with pytest.raises(ConfigError, match="two files are called 'm'"):
        models([Session(tiny(path), "cpu", 1) for path in same])
    with pytest.raises(ConfigError, match=r"m\.onnx: the file takes images from 9x9 pixels on, not 8x8"):
        models([Session(tiny(tmp_path / "m.onnx", minimum=9), "cpu", 1)], 8)


def test_of_several_classifiers_alone_that_of_equal_precision_answers(tmp_path):
    files: dict[str, dict[str, Any]] = {
        "whole": {"unrestored_key": "k", "variant": "int8"},
        "plain": {"config_key": "k"},
        "plain-int8": {"config_key": "k", "variant": "int8"},
    }
    made = [Session(tiny(tmp_path / f"{name}.onnx", **told), "cpu", 1) for name, told in files.items()]
    for order, name in ((made, "plain-int8"), (made[:2], "plain"), (made[:1], None)):
        found = models(order)[0].unrestored
        assert (found and found.name) == name
