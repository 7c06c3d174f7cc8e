"""The body of a request, counted while it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive

from clearsight.pipelines.serving.forms import AS_FORM
from clearsight.pipelines.serving.limits import RefusedError, busy
from clearsight.pipelines.serving.service import InferenceService

SENT_TOO_MUCH = 4
"""Bodies up to this many times the limit are read to their end before they are refused."""
DISCARD_SECONDS = 5
ALONE = "send the bytes of an image as the body: curl --data-binary @image.jpg"


@asynccontextmanager
async def body(request: Request, service: InferenceService, *, form: bool = False) -> AsyncIterator[bytes]:
    """Yield the whole body; its bytes are counted until the request is answered.

    Args:
        request: whose body it is.
        service: holds the limits.
        form: whether a form is expected, not the bytes of an image.

    Raises:
        RefusedError: too large, too slow, empty, a form, a client that left, or too many bytes held already.
    """
    data = bytearray()
    try:
        await _collect(request, service, data)
        if not data:
            raise RefusedError(422, "the body is empty", hint=AS_FORM if form else ALONE)
        if not form and request.headers.get("content-type", "").startswith("multipart/"):
            raise RefusedError(422, "the body is a form", hint=f"{ALONE}; forms go to /v1/batch")
        yield bytes(data)
    finally:
        service.bytes.remove(len(data))


async def _collect(request: Request, service: InferenceService, data: bytearray) -> None:
    # The announced length is trusted only where it is too large.
    refused = _too_large(service) if _announced(request.headers) > service.limits.body else None
    seconds, more = service.limits.body_seconds, True
    try:
        async with asyncio.timeout(seconds):
            while more and refused is None:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(499, "the client has left")
                more = message.get("more_body", False)
                refused = _added(message.get("body", b""), data, service)
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {seconds:g} seconds", close=True) from None
    if refused is not None:
        if more:
            await discard(request.headers, request.receive, service)
        raise refused


def _added(chunk: bytes, data: bytearray, service: InferenceService) -> RefusedError | None:
    """Keep a chunk, or return why it is refused."""
    if len(data) + len(chunk) > service.limits.body:
        return _too_large(service)
    if not service.bytes.add(len(chunk)):
        return busy("too many large requests at a time")
    data += chunk
    return None


async def discard(headers: Headers, receive: Receive, service: InferenceService) -> None:
    """Read the rest of a body, up to a limit: clients that are still sending would not see an answer."""
    most = SENT_TOO_MUCH * service.limits.body
    if _announced(headers) > most or "expect" in headers:
        # The client waits for permission to send, or reading would take too long.
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while most > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                most -= len(message["body"])


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(service: InferenceService) -> RefusedError:
    most = service.limits.body / 2**20
    return RefusedError(413, f"the body has more than {most:.3g} MB", hint="send a smaller file", close=True)


async def left(request: Request) -> None:
    """Wait until the client has left; to be called only after the whole body was received."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
