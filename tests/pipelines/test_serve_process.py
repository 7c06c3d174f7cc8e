"""A server as a process: crowds, what is no HTTP, signals, an end in time, memory that is given back."""

from __future__ import annotations

import asyncio
import json
import math
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import pixels, png, stored
from served import HOUSE, served
from test_endless import looping
from test_serve import bomb
from tiny_onnx import tiny

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.media.images import decode
from clearsight.pipelines.cli.serve import Limits, command
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.serving.server import is_local, listening, url

CONCURRENT = 200
ROUNDS = 5
BODY = 2**20
GROWTH = 40 * 2**20
"""Bytes that the process may gain after the first round: pools of memory, not images."""


@pytest.fixture
def model(tmp_path) -> Path:
    return tiny(tmp_path / "model.onnx", gives=("logits", "image"))


async def exchange(place: str, raw: list[bytes], *, pause: float = 0) -> tuple[int, bytes]:
    """Send bytes as they are, and return status and body; 0 where nothing was answered."""
    host, _, port = place.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for each in raw:
            writer.write(each)
            await writer.drain()
            await asyncio.sleep(pause)
        answer = await asyncio.wait_for(reader.read(), 120)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


def request(
    body: bytes, target: str = "/v1/predict", method: str = "POST", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


@dataclass
class Case:
    raw: list[bytes]
    status: tuple[int, ...]
    label: str = ""


def cases(session: Session) -> list[Case]:
    """Return what every round asks, and what must be answered."""
    good = []
    for at in range(CONCURRENT - 60):
        array = pixels(str(at), 8 + 8 * (at % 5), 40, 3)
        label = session.classify([array]).names[0]
        good.append(
            Case(
                [request(stored(array), "/v1/predict?restored=true" if at % 2 else "/v1/predict")],
                (200,),
                label,
            )
        )
    image = png("whole", 200, 200, 3)
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    chunked = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    bad = [
        Case([request(image[: len(image) // 2])], (422,)),
        Case([request(b"")], (422,)),
        Case([request(b"only words " * 50)], (422,)),
        Case([request(bomb(30_000, 30_000))], (413,)),
        Case([request(bomb(9_000, 9_000))], (413,)),
        Case([request(b"x" * 100, length=10**9)], (413,)),
        Case([chunked, *[chunk] * 20, b"0\r\n\r\n"], (413,)),
        Case([request(b"", method="GET")], (405,)),
        Case([request(image, "/v2/predict")], (404,)),
        Case([b"\x16\x03\x01 this is not HTTP\r\n\r\n"], (400,)),
        Case([request(png("bad top", 8, 8, 3), "/v1/predict?top=-1")], (422,)),
        Case([request(image, "/v1/restore")], (200,)),
    ]
    return good + bad * 5


async def leave(url: str) -> None:
    """Send half a body, or a whole one, and go without a word."""
    for raw in (request(png("l", 64, 64, 3))[:-50], request(png("l", 64, 64, 3))):
        host, _, port = url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw)
        await writer.drain()
        writer.transport.abort()


async def one_round(url: str, asked: list[Case]) -> list[float]:
    """Ask everything at once; return the seconds that health took meanwhile."""
    tasks = [asyncio.create_task(exchange(url, each.raw)) for each in asked]
    gone = [asyncio.create_task(leave(url)) for _ in range(10)]
    latencies = []
    while not all(each.done() for each in tasks):
        began = time.monotonic()
        status, body = await exchange(url, [request(b"", "/health", "GET")])
        assert (status, json.loads(body)["status"]) == (200, "ok")
        latencies.append(time.monotonic() - began)
        await asyncio.sleep(0.05)
    await asyncio.gather(*gone)
    for case, (status, body) in zip(asked, await asyncio.gather(*tasks), strict=True):
        assert status in case.status, (case.raw[0][:150], status, body[:200])
        if case.label:
            assert json.loads(body)["predictions"][0]["label"] == case.label
        elif status not in (200, 400):
            assert set(json.loads(body)) == {"error"}
    return latencies


def figures(url: str) -> dict[str, float]:
    _, body = asyncio.run(exchange(url, [request(b"", "/metrics", "GET")]))
    lines = (line.rsplit(" ", 1) for line in body.decode().splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


@pytest.mark.slow
def test_two_hundred_at_once_with_bad_bodies_mixed_in(model):
    asked = cases(Session(model, "cpu", 1))
    assert len(asked) == CONCURRENT
    options = ("--waiting", 256, "--max-megabytes", 1, "--max-megapixels", 1)
    with served(model, *options) as server:
        latencies = asyncio.run(one_round(server.url, asked))
        before = server.memory()
        for _ in range(ROUNDS):
            latencies += asyncio.run(one_round(server.url, asked))
        assert server.memory() - before < GROWTH
        # No timing test: a server that hangs takes all of this.
        assert max(latencies) < 20
        time.sleep(0.5)
        found = figures(server.url)
        assert found["clearsight_waiting"] == found["clearsight_pixels_held"] == 0
        good = sum(case.status == (200,) for case in asked) * (ROUNDS + 1)
        answered = [
            found[f'clearsight_requests_total{{endpoint="/v1/{name}",status="200"}}']
            for name in ("predict", "restore")
        ]
        assert good <= sum(answered) <= good + 10 * (ROUNDS + 1)
        assert found["clearsight_batch_images_sum"] > found["clearsight_batch_images_count"]
        assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
        assert server.stop() == 0
        assert server.lines[1:] == ["stopped"]


@pytest.mark.slow
def test_more_than_may_wait_are_sent_away_or_served_but_never_lost(model):
    with served(model, "--waiting", 3) as server:
        body = request(png("w", 300, 300, 3), "/v1/restore")

        async def work() -> list[tuple[int, bytes]]:
            return await asyncio.gather(*(exchange(server.url, [body]) for _ in range(60)))

        statuses = [status for status, _ in asyncio.run(work())]
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 3
        assert asyncio.run(exchange(server.url, [body]))[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_let_running_requests_finish(model, number):
    whole = request(png("s", 30, 30, 3)).replace(b"Host:", b"Expect: 100-continue\r\nHost:")
    with served(model) as server:

        async def work() -> tuple[int, bytes]:
            host, _, port = server.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(whole[:-100])
            # Now it is running.
            assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            server.process.send_signal(number)
            await asyncio.sleep(0.3)
            writer.write(whole[-100:])
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return int(answer.split()[1]), answer

        status, _ = asyncio.run(work())
        assert status == 200
        assert server.process.wait(30) == 0
    assert server.lines[1:] == ["stopped"]


@pytest.mark.slow
def test_the_port_is_told_and_one_in_use_is_one_clear_error(model):
    with served(model) as server:
        port = int(server.url.rpartition(":")[2])
        assert port > 0
        image = png("p", 21, 17, 3)
        status, body = asyncio.run(exchange(server.url, [request(image, "/v1/restore")]))
        assert status == 200
        assert (decode(body) == Session(model, "cpu", 1).restore([decode(image)])[0]).all()
        with socket.create_connection(("127.0.0.1", port)):
            done = _failing("serve", model, "--port", port)
        assert done.returncode == 2
        assert re.fullmatch(
            rf"error: 127\.0\.0\.1:{port}: cannot listen: .*; choose another --host or --port; --port 0 takes a free one\n",
            done.stderr,
        )


@pytest.mark.slow
def test_other_machines_are_warned_of_and_any_name_is_taken(model):
    with served(model, "--host", "0.0.0.0") as server:
        assert server.lines[0].startswith("warning: other machines reach this server")
        assert server.url.startswith("http://127.0.0.1:")
        raw = request(b"", "/health", "GET").replace(b"localhost", b"models.example")
        assert asyncio.run(exchange(server.url, [raw]))[0] == 200


def test_a_missing_extra_is_one_clear_error(model):
    script = (
        "import sys; sys.modules['fastapi'] = None; from clearsight.pipelines.cli.app import main; main()"
    )
    done = _failing("serve", model, script=script)
    assert (done.returncode, done.stderr) == (
        2,
        "error: serve: needs fastapi; pip install clearsight[serve]\n",
    )


def test_calls_that_cannot_work_are_refused(model, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    fixed = tiny(tmp_path / "fixed.onnx", height=8, width=8)
    for given, text in (
        ({"files": [tmp_path / "none.onnx"]}, "no such file"),
        ({"files": [tmp_path / "text.onnx"]}, "onnxruntime cannot open it"),
        ({"provider": "tpu"}, "unknown provider 'tpu'"),
        ({"host": "no.such.host.invalid"}, "cannot listen"),
        ({"files": [fixed], "size": 9}, "takes images of 8x8 pixels only"),
    ):
        usual: dict[str, Any] = {"files": [model], "host": "127.0.0.1", "port": 0, "limits": Limits(1, 1, 1)}
        usual |= {"top": 1, "size": None, "provider": "cpu", "threads": 1, "quiet": True}
        with pytest.raises(ClearsightError, match=text):
            command(**(usual | given))


def test_addresses_of_the_sixth_version(model):
    try:
        with listening("::1", 0) as made:
            assert is_local(made)
            assert url(made).startswith("http://[::1]:")
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    with listening("::", 0) as made:
        assert not is_local(made)
        assert url(made).startswith("http://[::1]:")


@pytest.mark.slow
def test_connections_that_say_nothing_are_closed(model):
    script = (
        "import sys; from clearsight.pipelines.serving import server; server.HEAD_SECONDS = 0.3; "
        "from clearsight.pipelines.cli.app import main; main(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve", str(model), "--port", "0"],
        cwd=HOUSE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = re.search(r"on (http://\S+)$", process.stderr.readline())
    assert found is not None
    try:

        async def silent(raw: bytes) -> bytes:
            host, _, port = found[1].removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(raw)
            answer = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            return answer

        assert asyncio.run(silent(b"")) == b""
        assert asyncio.run(silent(b"POST /v1/predict HTTP/1.1\r\nHost: local")) == b""
        # A body that comes slowly is another matter.
        whole = request(png("s", 9, 9, 3))
        assert asyncio.run(exchange(found[1], [whole[:-9], whole[-9:]], pause=0.8))[0] == 200
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _failing(
    *given: object, script: str = "from clearsight.pipelines.cli.app import main; main()"
) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", script, *map(str, given)]
    return subprocess.run(call, cwd=HOUSE, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_what_is_no_http_is_answered_like_every_failure(model):
    post = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    with served(model) as server:
        for raw in (
            b"no http\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\n\r\n",
            b"GET /health\r\n\r\n",  # HTTP/0.9
            bytes.fromhex("16030100a5010000a1030351") + bytes(100),  # a greeting of TLS
            b"\xff\xfe /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere\r\n\r\n",
            post + b"Content-Length: -5\r\n\r\nabc",
            post + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nabc",
            post + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
            post + b"Transfer-Encoding: gzip\r\n\r\nabc",
            post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        ):
            status, body = asyncio.run(exchange(server.url, [raw]))
            assert status == 400, raw[:60]
            assert json.loads(body)["error"]["what"].startswith("the request is no HTTP/1.1: "), raw[:60]
        assert server.stop() == 0


@pytest.mark.slow
def test_a_server_ends_in_time_whatever_its_graph_does(tmp_path):
    with served(looping(tmp_path / "m.onnx", at_once=False)) as server:
        white = request(stored(np.full((8, 8, 3), 255, np.uint8)))

        async def ask() -> None:
            host, _, port = server.url.removeprefix("http://").partition(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(white)
            await writer.drain()
            await asyncio.sleep(2)

        asyncio.run(ask())
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 30


@pytest.mark.slow
@pytest.mark.long
def test_memory_of_large_images_is_given_back(tmp_path):
    with served(tiny(tmp_path / "m.onnx", gives=("image",), halo=None), "--max-megapixels", 40) as server:
        plain = (np.zeros((side, side, 3), np.uint8) for side in (64, 4000))
        small, large = (request(stored(image), "/v1/restore") for image in plain)
        assert asyncio.run(exchange(server.url, [small]))[0] == 200
        before = server.memory()

        def kept_after(count):
            for _ in range(count):
                assert asyncio.run(exchange(server.url, [large]))[0] == 200
            # A busy machine lets go of the last image later.
            kept, end = math.inf, time.monotonic() + 10
            while kept >= 300 * 2**20 and time.monotonic() < end:
                time.sleep(1)
                assert asyncio.run(exchange(server.url, [small]))[0] == 200
                kept = server.memory() - before
            return kept

        # An image is 183 MiB in floats. onnxruntime keeps room for one, or for two where the first is still being
        # let go of while the next is computed; never for every image that came.
        first, later = kept_after(2), kept_after(4)
        assert first < 450 * 2**20
        assert later < first + 200 * 2**20
        assert server.stop() == 0
