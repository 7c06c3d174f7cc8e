"""What every request passes: who may ask, how many at a time, how fast answers are read, and metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearsight.pipelines.serving.bodies import discard
from clearsight.pipelines.serving.limits import Place, RefusedError, busy, crowd
from clearsight.pipelines.serving.service import InferenceService

OWN_SITES = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site` for the server's own pages and for typed addresses. `same-site` is not among
them: it stands for another port or another name of the same domain."""
LOOKS = frozenset({"GET", "HEAD"})
"""Methods of requests that follow a link."""
CHUNK = 2**16
"""Bytes of an answer that are sent at a time, so that slow readers are noticed."""
RETRY_SECONDS = 1
PLACE = "clearsight.place"
"""Key of the request's `Place` in its scope."""
WORK = ("predict", "restore", "batch")
"""What is done with images: `/v1/predict`, and so on; requests to these paths take a place."""
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Host names under which a server on this machine serves its own pages."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class SlowReaderError(Exception):
    """A client that does not read its answer."""


def work_paths(models: Iterable[str]) -> frozenset[str]:
    """Return the paths whose requests take a place: of the default model, and of each by its name."""
    stems = ["/v1", *(f"/v1/models/{name}" for name in models)]
    return frozenset(f"{stem}/{work}" for stem in stems for work in WORK)


def refusal(refused: RefusedError) -> JSONResponse:
    """Return the answer to a request that is refused."""
    headers = {"Retry-After": str(RETRY_SECONDS)} if refused.status == 503 else {}
    if refused.close:
        headers["Connection"] = "close"
    content = {"error": {"what": refused.what, "hint": refused.hint}}
    return JSONResponse(content, refused.status, headers)


def _elsewhere(origin: str | None, host: str) -> bool:
    """Return whether an origin is not the server itself, under the host name that the request uses."""
    return origin is not None and origin.lower().partition("://")[2] != host


class Middleware:
    """Checks and counts requests in front of the application.

    Attributes:
        crowded: returns whether more connections are open than the server takes; set by `server`.
    """

    crowded: Callable[[], bool]

    def __init__(
        self, app: ASGIApp, service: InferenceService, hosts: Collection[str], known: Collection[str]
    ) -> None:
        """Keep what the checks need.

        Args:
            app: answers requests that pass.
            service: holds the limits, the places and the metrics.
            hosts: host names that requests may use for the server; empty: any. This prevents DNS rebinding:
                a foreign page whose name resolves to this machine could read the answers otherwise.
            known: paths that are counted by name, beside those that work on images; all others are counted
                together.
        """
        self.app, self.service, self.hosts = app, service, hosts
        self.work = work_paths(service.models)
        self.known = {*known, *self.work}
        self.crowded = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await self._send(message, send)

        try:
            await self._admitted(scope, receive, counted)
        except SlowReaderError:
            # The server closes connections whose answer is incomplete.
            status = 499
        finally:
            endpoint = scope["path"] if scope["path"] in self.known else "other"
            self.service.metrics.answered(endpoint, status, time.perf_counter() - began)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = crowd() if self.crowded() else self._stranger(Headers(scope=scope), scope["method"])
        if refused is not None:
            await refusal(refused)(scope, receive, send)
        elif scope["path"] not in self.work or scope["method"] != "POST":
            await self.app(scope, receive, send)
        elif self.service.places.full:
            await discard(Headers(scope=scope), receive, self.service)
            await refusal(busy("too many requests at a time"))(scope, receive, send)
        else:
            # The place is taken once the body is there, so that slow clients keep nobody out, and given back
            # when the answer is sent.
            scope[PLACE] = place = Place(self.service.places)
            try:
                await self.app(scope, receive, send)
            finally:
                place.give()

    def _stranger(self, headers: Headers, method: str) -> RefusedError | None:
        host = headers.get("host", "").lower()
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if self.hosts and name not in self.hosts:
            known = " or ".join(sorted(self.hosts))
            return RefusedError(421, "the server is not known by that name", hint=f"call it {known}")
        site = headers.get("sec-fetch-site")
        # Older browsers do not send Sec-Fetch-Site, but they send the origin of requests by scripts.
        elsewhere = _elsewhere(headers.get("origin"), host) if site is None else site not in OWN_SITES
        # A link to a page of this server does no harm; a form that another page submits here may.
        if elsewhere and not (method in LOOKS and site and headers.get("sec-fetch-mode") == "navigate"):
            return RefusedError(403, "pages of other sites are not answered")
        return None

    async def _send(self, message: Message, send: Send) -> None:
        body = message.get("body", b"")
        try:
            async with asyncio.timeout(self.service.limits.send_seconds):
                for start in range(0, len(body) - CHUNK, CHUNK):
                    part = body[start : start + CHUNK]
                    await send({"type": message["type"], "body": part, "more_body": True})
                rest = body[max(0, (len(body) - 1) // CHUNK * CHUNK) :]
                await send({**message, "body": rest} if "body" in message else message)
        except TimeoutError:
            raise SlowReaderError from None
