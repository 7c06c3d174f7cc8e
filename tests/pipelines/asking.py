"""Requests to an application without a server, with every detail in the test's hands."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from clearsight.data.contract.rng import Rng


def pixels(name: str, *shape: int) -> np.ndarray:
    return Rng(0).at(name).numpy().integers(0, 256, shape).astype(np.uint8)


def png(name: str, *shape: int) -> bytes:
    return stored(pixels(name, *shape))


def stored(array: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, format=form, **options)
    return out.getvalue()


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    parts: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def what(self) -> str:
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"what", "hint"}
        return self.json["error"]["what"]


async def ask(
    app: Any,
    target: str = "/v1/predict",
    body: bytes | Iterable[bytes] = b"",
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    pause: float = 0,
    gone: asyncio.Event | None = None,
    stuck: bool = False,
) -> Answer:
    """Ask once.

    Args:
        app: of ASGI.
        target: path and query.
        body: whole, or in chunks.
        method: of HTTP.
        headers: names in lower case.
        pause: seconds before each chunk.
        gone: when set, the client leaves.
        stuck: the client takes the first part of the answer only.
    """
    answer = Answer()
    chunks = [body] if isinstance(body, bytes) else list(body)
    chunks.reverse()

    async def receive() -> dict[str, Any]:
        if chunks:
            await asyncio.sleep(pause)
            chunk = chunks.pop()
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        answer.parts += 1
        answer.body += message.get("body", b"")
        if stuck:
            await asyncio.Event().wait()

    path, _, query = target.partition("?")
    given = {"host": "localhost"} | (headers or {})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return answer
