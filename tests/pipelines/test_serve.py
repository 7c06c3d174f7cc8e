"""What a server takes and refuses: bodies, sizes, places, pages of others; every failure is JSON, and bounded."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import Answer, ask, pixels, png, stored
from PIL import Image
from tiny_onnx import CLASSES, tiny

from clearsight.data.contract.errors import RunError
from clearsight.data.media.images import decode
from clearsight.pipelines.inference.inputs import read_bytes
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.serving import server as server_module
from clearsight.pipelines.serving import service as service_module
from clearsight.pipelines.serving.app import create_app
from clearsight.pipelines.serving.limits import Limits
from clearsight.pipelines.serving.middleware import LOCAL
from clearsight.pipelines.serving.models import models
from clearsight.pipelines.serving.service import InferenceService

PICTURE = png("a", 10, 12, 3)


@pytest.fixture
def serving(tmp_path) -> Iterator[Callable[..., Any]]:
    made: list[InferenceService] = []

    def make(limits: Limits | None = None, size: int | None = None, **form: Any) -> Any:
        form = {"gives": ("logits", "image")} | form
        session = Session(tiny(tmp_path / "secret-place.onnx", **form), "cpu", 1)
        made.append(InferenceService(models([session], size), limits or Limits()))
        return create_app(made[-1], 2, LOCAL)

    yield make
    for each in made:
        each.close()
        assert (each.places.held, each.bytes.held) == (0, 0)
        assert each.pixels.free == each.pixels.most


def get(app: Any, target: str, **given: Any) -> Answer:
    return asyncio.run(ask(app, target, method="GET", **given))


def post(app: Any, target: str, body: Any, **given: Any) -> Answer:
    return asyncio.run(ask(app, target, body, **given))


def bomb(width: int, height: int) -> bytes:
    """Return the head of a PNG file of a size, and nothing of its pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    end = b"\x00\x00\x00\x00IEND\xaeB`\x82"
    data = zlib.compress(b"\0" * 1000)
    inner = b"IDAT" + data
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(head))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", len(data))
        + inner
        + struct.pack(">I", zlib.crc32(inner))
        + end
    )


def test_an_image_is_classified_and_restored(serving):
    app = serving()
    session = app.service.default.session
    expected = session.classify([decode(PICTURE)])
    plain = post(app, "/v1/predict", PICTURE)
    assert plain.status == 200
    assert plain.json == {
        "predictions": [
            {"label": label, "probability": pytest.approx(value, abs=1e-6)}
            for label, value in expected.top(2)[0]
        ],
        "width": 12,
        "height": 10,
        "notes": [],
    }
    every = post(app, "/v1/predict?top=50&restored=true", [PICTURE[:50], PICTURE[50:]]).json
    assert {each["label"] for each in every["predictions"]} == set(CLASSES)
    assert sum(each["probability"] for each in every["predictions"]) == pytest.approx(1, abs=1e-5)
    image = session.restore([decode(PICTURE)])[0]
    assert np.array_equal(decode(base64.b64decode(every["restored"])), image)
    restored = post(app, "/v1/restore", PICTURE)
    assert (restored.status, restored.headers["content-type"]) == (200, "image/png")
    assert np.array_equal(decode(restored.body), image)


def test_files_that_give_one_of_the_two(serving):
    only = serving(gives=("logits",))
    assert "restored" not in post(only, "/v1/predict?restored=true", PICTURE).json
    answer = post(only, "/v1/restore", PICTURE)
    assert (answer.status, answer.what) == (404, "the file gives no images")
    images = serving(gives=("image",))
    found = post(images, "/v1/predict?restored=true", png("rgba", 9, 8, 4)).json
    assert found["predictions"] == []
    with Image.open(io.BytesIO(base64.b64decode(found["restored"]))) as image:
        # Transparency comes back as it was.
        assert np.array_equal(np.asarray(image)[:, :, 3], pixels("rgba", 9, 8, 4)[:, :, 3])


def test_sizes_and_notes(serving):
    found = post(serving(size=8), "/v1/predict?restored=true", png("b", 20, 30, 3)).json
    assert (found["width"], found["height"]) == (30, 20)
    assert found["notes"] == ["resized, and its middle of 8x8 pixels used"]
    assert decode(base64.b64decode(found["restored"])).shape == (8, 8, 3)
    answer = post(serving(gives=("image",), minimum=16), "/v1/predict", PICTURE)
    assert answer.status == 422
    assert answer.what == "the image has 12x10 pixels, the file takes images from 16x16 pixels on"
    assert answer.json["error"]["hint"] == "resize the image before you send it"


def test_health_says_what_is_loaded(serving):
    app = serving(Limits(1000, 2000, 3))
    told = get(app, "/health").json
    deployed = app.service.default.session.deployed
    assert told["status"] == "ok"
    assert told["models"] == [
        {
            "model": "secret-place",
            "name": deployed.name,
            "chain": deployed.chain,
            "variant": "fp32",
            "providers": ["CPUExecutionProvider"],
            "config_key": deployed.config_key,
            "gives": ["logits", "image"],
            "classes": 3,
            "size": None,
            "unrestored": None,
        }
    ]
    assert told["limits"] == {"body_bytes": 1000, "pixels": 2000, "images": 64, "waiting": 3}
    assert get(app, "/v1/models").json == {"models": told["models"]}


def test_metrics_count(serving):
    app = serving()
    for body in (PICTURE, PICTURE, b"text"):
        post(app, "/v1/predict", body)
    get(app, "/unheard/of")
    text = get(app, "/metrics").body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['clearsight_requests_total{endpoint="/v1/predict",status="200"}'] == "2.0"
    assert lines['clearsight_requests_total{endpoint="/v1/predict",status="422"}'] == "1.0"
    assert lines['clearsight_requests_total{endpoint="other",status="404"}'] == "1.0"
    assert lines['clearsight_request_seconds_count{endpoint="/v1/predict"}'] == "3.0"
    assert lines["clearsight_batch_images_sum"] == "2.0"
    assert lines["clearsight_images_failed_total"] == "1.0"
    assert lines["clearsight_waiting"] == lines["clearsight_pixels_held"] == "0.0"
    assert "/unheard" not in text


BAD = {
    "empty": b"",
    "text": b"<script>alert(1)</script>",
    "truncated": PICTURE[:-40],
    "half a jpeg": stored(pixels("j", 64, 64, 3), "JPEG")[:400],
    "a head only": PICTURE[:20],
    "damaged": PICTURE[:60] + b"\0" * 40 + PICTURE[100:],
    "zeros": bytes(5000),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.4\n1 0 obj",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "float": stored(pixels("f", 8, 8).astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_422_in_plain_words(serving, tmp_path, name):
    app = serving()
    for target in ("/v1/predict", "/v1/restore"):
        answer = post(app, target, BAD[name])
        assert answer.status == 422
        assert answer.what.startswith(("the body is ", "the image is ", "32-bit float"))
        told = answer.body.decode()
        assert not any(word in told for word in ("Traceback", "secret-place", str(tmp_path), ".py", "0x7"))


def test_too_many_pixels_are_413_before_anything_is_decoded(serving, monkeypatch):
    app = serving(Limits(pixels=1000))
    monkeypatch.setattr(service_module, "read_bytes", lambda *_: pytest.fail("decoded"))
    for data, text in (
        (bomb(30_000, 30_000), "the image has too many pixels, at most 1,000 are taken"),
        (bomb(9_000, 9_000), "the image has 9000x9000 pixels, at most 1,000 pixels are taken"),
        (png("c", 40, 30, 3), "the image has 30x40 pixels, at most 1,000 pixels are taken"),
    ):
        answer = post(app, "/v1/predict", data)
        assert (answer.status, answer.what) == (413, text)


def test_what_an_image_becomes_counts_too(serving):
    app = serving(Limits(pixels=1000), size=40)
    answer = post(app, "/v1/predict", PICTURE)
    assert answer.status == 413
    assert (
        answer.what
        == "the image has 12x10 pixels and would become one of 1,600, at most 1,000 pixels are taken"
    )


def test_endless_scans_are_refused(serving):
    jpeg = stored(pixels("p", 16, 16, 3), "JPEG", progressive=True)
    at = jpeg.rindex(b"\xff\xda")
    many = jpeg[:-2] + jpeg[at:-2] * 200 + jpeg[-2:]
    assert post(serving(), "/v1/predict", jpeg).status == 200
    answer = post(serving(), "/v1/predict", many)
    assert answer.status == 422
    assert "scans" in answer.what


def test_large_bodies_are_413_whatever_they_announce(serving):
    app = serving(Limits(body=1000))
    given: dict[str, dict[str, Any]] = {
        "announced": {"body": b"x", "headers": {"content-length": "1001"}},
        "chunked": {"body": [b"x" * 400] * 3},
        "a lie": {"body": [b"x" * 400] * 3, "headers": {"content-length": "10"}},
        "at once": {"body": b"x" * 1001},
    }
    for each in given.values():
        answer = asyncio.run(ask(app, **each))
        assert (answer.status, answer.what) == (413, "the body has more than 0.000954 MB")
        assert answer.headers["connection"] == "close"
    assert post(app, "/v1/predict", b"x" * 1000).status == 422


def test_all_bodies_together_are_bounded(serving, monkeypatch):
    monkeypatch.setattr("clearsight.pipelines.serving.limits.LEAST_BYTES", 1000)
    app = serving(Limits(body=1000))

    async def work() -> list[Answer]:
        slow = asyncio.create_task(ask(app, "/v1/predict", [b"x" * 800, b"x" * 100], pause=0.1))
        await asyncio.sleep(0.15)
        second = await ask(app, "/v1/predict", b"x" * 500)
        return [await slow, second]

    slow, second = asyncio.run(work())
    assert (slow.status, second.status) == (422, 503)
    assert second.headers["retry-after"] == "1"


def test_forms_are_told_apart(serving):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = post(serving(), "/v1/predict", b"--x\r\n\r\n" + PICTURE + b"\r\n--x--", headers=headers)
    assert (answer.status, answer.what) == (422, "the body is a form")
    assert "--data-binary" in answer.json["error"]["hint"]
    assert post(serving(), "/v1/predict", PICTURE, headers={"content-type": "text/plain"}).status == 200


def test_slow_bodies_take_no_place(serving):
    app = serving(Limits(waiting=1))

    async def work() -> list[int]:
        slow = [
            asyncio.create_task(ask(app, "/v1/predict", [PICTURE[:9], PICTURE[9:]], pause=0.2))
            for _ in range(3)
        ]
        await asyncio.sleep(0.25)
        quick = await ask(app, "/v1/predict", PICTURE)
        return [quick.status, *sorted([(await each).status for each in slow])]

    quick, *slow = asyncio.run(work())
    assert quick == 200
    assert slow[0] == 200
    assert set(slow) <= {200, 503}


def test_refused_bodies_are_read_to_their_end_but_not_for_ever(serving, monkeypatch):
    monkeypatch.setattr("clearsight.pipelines.serving.bodies.DISCARD_SECONDS", 0.3)
    app = serving(Limits(body=100))

    async def left_over(chunks: list[bytes], **given: Any) -> int:
        taken = 0

        async def keeping(scope, receive, send):
            async def received():
                nonlocal taken
                taken += 1
                return await receive()

            await app(scope, received, send)

        assert (await ask(keeping, "/v1/predict", chunks, **given)).status == 413
        return len(chunks) - taken

    assert asyncio.run(left_over([b"x" * 50] * 6)) == 0
    assert asyncio.run(left_over([b"x" * 50] * 60)) > 40
    assert asyncio.run(left_over([b"x" * 50] * 6, pause=0.15)) > 0
    assert asyncio.run(left_over([b"x" * 50] * 60, headers={"content-length": "3000"})) == 60
    assert (
        asyncio.run(left_over([b"x" * 50] * 3, headers={"content-length": "150", "expect": "100-continue"}))
        == 3
    )


def test_slow_bodies_are_408(serving):
    answer = post(serving(Limits(body_seconds=0.1)), "/v1/predict", [b"x"] * 50, pause=0.05)
    assert (answer.status, answer.what) == (408, "the body did not come within 0.1 seconds")
    assert answer.headers["connection"] == "close"


def test_clients_that_leave_while_sending_hold_nothing(serving):
    app = serving()

    async def work() -> Answer:
        gone = asyncio.Event()
        gone.set()

        async def cut(scope, receive, send):
            messages = [{"type": "http.request", "body": PICTURE[:50], "more_body": True}]

            async def received():
                return messages.pop() if messages else {"type": "http.disconnect"}

            await app(scope, received, send)

        return await ask(cut, "/v1/predict", b"", gone=gone)

    assert asyncio.run(work()).status == 499


class Stuck:
    """Keeps the computing thread busy."""

    def __init__(self, app: Any) -> None:
        self.event = threading.Event()
        app.service.batching.worker.submit(self.event.wait)


def test_more_requests_than_may_wait_are_503(serving):
    app = serving(Limits(waiting=3))
    stuck = Stuck(app)

    async def work() -> None:
        first = [asyncio.create_task(ask(app, "/v1/predict", PICTURE)) for _ in range(3)]
        while app.service.batching.queue.__len__() < 3:
            await asyncio.sleep(0.01)
        more = await ask(app, "/v1/predict", PICTURE)
        assert (more.status, more.headers["retry-after"]) == (503, "1")
        assert more.what == "too many requests at a time"
        health = await ask(app, "/health", method="GET")
        assert health.status == 200
        stuck.event.set()
        assert {each.status for each in await asyncio.gather(*first)} == {200}
        assert (await ask(app, "/v1/predict", PICTURE)).status == 200

    asyncio.run(work())


def test_a_client_that_leaves_gives_its_place_back_at_once(serving):
    app = serving(Limits(waiting=1))
    stuck = Stuck(app)

    async def work() -> None:
        gone = asyncio.Event()
        first = asyncio.create_task(ask(app, "/v1/predict", PICTURE, gone=gone))
        while not app.service.batching.queue:
            await asyncio.sleep(0.01)
        assert app.service.pixels.free < app.service.pixels.most
        gone.set()
        assert (await first).status == 499
        while app.service.running:
            await asyncio.sleep(0.01)
        assert app.service.places.held == 0
        assert app.service.pixels.free == app.service.pixels.most
        stuck.event.set()
        assert (await ask(app, "/v1/predict", PICTURE)).status == 200

    asyncio.run(work())
    assert app.service.metrics.registry.get_sample_value("clearsight_batch_images_sum") == 1


def test_answers_that_take_too_long_are_503_and_their_pixels_are_held_to_the_end(serving, monkeypatch):
    app = serving(Limits(answer_seconds=0.2))
    let, inside = threading.Event(), threading.Event()
    inner = read_bytes

    def slow(*given):
        inside.set()
        let.wait(20)
        return inner(*given)

    monkeypatch.setattr(service_module, "read_bytes", slow)

    async def work() -> None:
        answer = await ask(app, "/v1/predict", PICTURE)
        assert (answer.status, answer.what) == (503, "no answer within 0.2 seconds")
        assert inside.is_set()
        assert app.service.places.held == 0
        # A thread cannot be stopped: what it decodes is still there.
        assert app.service.pixels.free == app.service.pixels.most - 120
        let.set()
        while app.service.running:
            await asyncio.sleep(0.01)

    asyncio.run(work())


def test_decoded_images_are_bounded_together(serving, monkeypatch):
    monkeypatch.setattr("clearsight.pipelines.serving.limits.LEAST_PIXELS", 300)
    app = serving(Limits(pixels=300))
    lowest = []
    inner = read_bytes

    def watched(*given):
        lowest.append(app.service.pixels.free)
        return inner(*given)

    monkeypatch.setattr(service_module, "read_bytes", watched)

    async def work() -> list[Answer]:
        return await asyncio.gather(*(ask(app, "/v1/predict", PICTURE) for _ in range(20)))

    assert {each.status for each in asyncio.run(work())} == {200}
    assert len(lowest) == 20
    assert min(lowest) == 60


def test_slow_readers_are_left(serving):
    app = serving(Limits(send_seconds=0.2))

    async def work() -> None:
        cut = await ask(app, "/v1/restore", png("large", 300, 300, 3), stuck=True)
        assert cut.parts == 1
        assert app.service.places.held == 0
        whole = await ask(app, "/v1/restore", png("large", 300, 300, 3))
        assert whole.parts > 2
        assert len(whole.body) == int(whole.headers["content-length"])
        assert decode(whole.body).shape == (300, 300, 3)

    asyncio.run(work())


def test_failures_of_the_server_say_nothing_of_it(serving, monkeypatch, capsys):
    app = serving()

    def broken(self, images, batch=None):
        raise RunError("onnxruntime cannot compute it: out of memory", where=str(self.path))

    monkeypatch.setattr(Session, "run", broken)
    answer = post(app, "/v1/predict", PICTURE)
    assert (answer.status, answer.what) == (500, "the image could not be computed")
    assert "secret-place" not in answer.body.decode()
    assert "secret-place.onnx: onnxruntime cannot compute it: out of memory" in capsys.readouterr().err
    monkeypatch.setattr(Session, "run", lambda *_: 1 / 0)

    async def unforeseen() -> Answer:
        kept = Answer()

        async def keeping(scope, receive, send):
            async def sent(message):
                kept.status = message.get("status", kept.status)
                kept.body += message.get("body", b"")
                await send(message)

            await app(scope, receive, sent)

        # The server logs it; the client was answered before.
        with pytest.raises(ZeroDivisionError):
            await ask(keeping, "/v1/predict", PICTURE)
        return kept

    answer = asyncio.run(unforeseen())
    assert (answer.status, answer.what) == (500, "something went wrong on the server")


@pytest.mark.parametrize(
    ("method", "target", "status", "what"),
    [
        ("GET", "/nowhere", 404, "no such page"),
        ("GET", "/v1/predict", 405, "the page does not take this method"),
        ("PUT", "/v1/restore", 405, "the page does not take this method"),
        ("POST", "/health", 405, "the page does not take this method"),
        ("GET", "/../../etc/passwd", 404, "no such page"),
        ("POST", "/v1/predict?top=0", 422, "top: Input should be greater than or equal to 1"),
        ("POST", "/v1/predict?top=many", 422, "top: Input should be a valid integer"),
        ("POST", "/v1/predict?restored=perhaps", 422, "restored: Input should be a valid boolean"),
    ],
)
def test_senseless_requests_are_json_too(serving, method, target, status, what):
    answer = asyncio.run(ask(serving(), target, PICTURE, method=method))
    assert answer.status == status
    assert answer.what.startswith(what)


def test_only_pages_of_this_server_are_answered(serving):
    app = serving()
    for host in (
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "",
        "[::2]:80",
        "127.0.0.1.nip.io",
    ):
        answer = get(app, "/health", headers={"host": host})
        assert (answer.status, answer.what) == (421, "the server is not known by that name")
    for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"):
        answer = get(app, "/health", headers={"host": host})
        assert answer.status == 200
        assert not any(name.startswith("access-control") for name in answer.headers)
    strange = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "origin": "https://evil.example"}
    assert post(app, "/v1/predict", PICTURE, headers=strange).status == 403
    # A link to the page from elsewhere is no harm.
    assert get(app, "/", headers=strange | {"sec-fetch-mode": "navigate"}).status == 200
    everywhere = create_app(app.service, 2)
    assert get(everywhere, "/health", headers={"host": "models.example"}).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9999", "host": "localhost:8000"}, 403),
        ({"origin": "http://localhost:8000", "host": "localhost:8000"}, 200),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        # Another port of this machine, a form that a page of another site sends, a value of no standard.
        ({"origin": "http://localhost:9999", "sec-fetch-site": "same-site"}, 403),
        (
            {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
            403,
        ),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}, 403),
        ({"sec-fetch-site": "elsewhere"}, 403),
        ({}, 200),
    ],
)
def test_an_origin_from_elsewhere_is_refused_without_fetch_metadata(serving, headers, status):
    answer = post(serving(), "/v1/predict", PICTURE, headers={"host": "localhost"} | headers)
    assert answer.status == status


def test_the_schema_describes_what_is_answered(serving):
    app = serving()
    told = get(app, "/openapi.json").json
    works = {
        f"{stem}/{work}" for stem in ("/v1", "/v1/models/{model}") for work in ("predict", "batch", "restore")
    }
    assert set(told["paths"]) == works | {"/v1/models", "/health", "/metrics"}
    predict = told["paths"]["/v1/predict"]["post"]
    assert {each["name"] for each in predict["parameters"]} == {"model", "top", "restored", "unrestored"}
    assert predict["requestBody"]["content"]["application/octet-stream"]["schema"]["format"] == "binary"
    assert {"200", "408", "413", "422", "500", "503"} <= set(predict["responses"])
    for status in ("413", "422"):
        schema = predict["responses"][status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Failure"}
    assert list(told["paths"]["/v1/restore"]["post"]["responses"]["200"]["content"]) == ["image/png"]
    fields = told["components"]["schemas"]["Predicted"]["properties"]
    sure = {"set", "abstains", "suspicion", "alarm"}
    assert set(fields) == {"predictions", "width", "height", "notes", "restored", "unrestored"} | sure
    undescribed = [
        (name, field)
        for name, schema in told["components"]["schemas"].items()
        for field, each in schema["properties"].items()
        if "description" not in each and "$ref" not in each
    ]
    assert undescribed == []


def test_pages_come_with_a_strict_policy_and_hold_nothing_from_elsewhere(serving):
    app = serving()
    for target in ("/", "/docs", "/page.js", "/page.css", "/docs.js"):
        answer = get(app, target)
        assert answer.status == 200
        text = answer.body.decode()
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    for target in ("/", "/docs"):
        text = get(app, target).body.decode()
        assert "style=" not in text
        assert "onclick" not in text
        assert text.count("<script") == text.count("<script src=")


def test_the_file_is_shown_by_no_path(serving, tmp_path):
    app = serving()
    for target in ("/health", "/openapi.json", "/metrics", "/"):
        assert str(tmp_path) not in get(app, target).body.decode()
    assert Path(app.service.default.session.path).name == "secret-place.onnx"


async def answers(url: tuple[str, int], path: str, count: int) -> list[tuple[bytes, bytes]]:
    """Return head and body for a request on each of many connections that are all open at once."""
    opened = [await asyncio.open_connection(*url) for _ in range(count)]
    found = []
    for reader, writer in opened:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        found.append((head, await reader.readexactly(int(length.partition(b":")[2]))))
    for _, writer in opened:
        writer.close()
    return found


@pytest.mark.parametrize("path", ["/health", "/v1/predict", "/nowhere"])
def test_one_connection_too_many_is_told_so_in_json(serving, monkeypatch, path):
    monkeypatch.setattr(server_module, "CONNECTIONS", 1)
    app = serving()

    async def work() -> None:
        with server_module.listening("127.0.0.1", 0) as listens:
            running = server_module.server(app, 2)
            serves = asyncio.create_task(running.serve(sockets=[listens]))
            url = listens.getsockname()[:2]
            few = await answers(url, path, 3)
            assert not any(b" 503 " in head for head, _ in few)
            # The first is answered while all are open; then it is closed.
            head, body = (await answers(url, path, 4))[0]
            assert head.startswith(b"HTTP/1.1 503 ")
            for line in (b"content-type: application/json", b"retry-after: 1", b"connection: close"):
                assert line in head.lower()
            assert json.loads(body)["error"]["what"] == "too many connections at a time"
            running.should_exit = True
            await serves

    asyncio.run(work())
    told = app.service.metrics.registry.get_sample_value
    endpoint = path if path in app.known else "other"
    assert told("clearsight_requests_total", {"endpoint": endpoint, "status": "503"})
