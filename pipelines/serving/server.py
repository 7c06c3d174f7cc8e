"""The server process: its socket, its signals, and connections that stay silent."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clearsight.data.contract.errors import ConfigError
from clearsight.pipelines.serving.middleware import Middleware

HEAD_SECONDS = 15
"""Time for the head of a request to arrive; uvicorn closes an idle connection after 5 seconds."""
CLOSING_SECONDS = 25
"""Time for running requests to finish when the server stops; with `STOP_SECONDS` for calls that are then
cancelled, and some for the threads, the process ends within 30 seconds."""
CONNECTIONS = 512
"""Most open connections beyond those of waiting requests; above that, every request is answered with 503."""


class Connection(H11Protocol):
    """One connection; closed where the head of a request does not arrive in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start watching for the head of a request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        super().connection_lost(exc)
        self.timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP with the JSON of every other failure, if no answer has begun yet."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            told = {"error": {"what": f"the request is no HTTP/1.1: {msg}", "hint": "see /docs"}}
            body = json.dumps(told, allow_nan=False).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        self.timer = self.loop.call_later(HEAD_SECONDS, self._look, self.cycle)

    def _look(self, before: Any) -> None:
        if self.transport.is_closing():
            # The client does not read what was sent already; a close would wait for that.
            self.timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
            return
        if self.cycle is before and self.conn.our_state is h11.IDLE:
            self.transport.close()
        self._watch()


class Server(uvicorn.Server):
    """Ends quietly on Ctrl-C and SIGTERM, once running requests are done."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on signals; uvicorn itself would raise them once more afterwards."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server(app: Middleware, waiting: int) -> Server:
    """Return a server that is not started.

    Args:
        app: the application.
        waiting: most requests at a time.
    """
    # uvicorn logs what does not concern the operator, and repeats what clients send.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    made = Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
    )
    # In place of limit_concurrency, whose answer is plain text.
    connections, most = made.server_state.connections, waiting + CONNECTIONS
    app.crowded = lambda: len(connections) > most
    return made


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: no such address, or the port is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(2048)
    except OSError as error:
        raise ConfigError(
            f"cannot listen: {error.strerror or error}",
            where=f"{host}:{port}",
            hint="choose another --host or --port; --port 0 takes a free one",
        ) from None
    return made


def is_local(made: socket.socket) -> bool:
    """Return whether only this machine reaches a socket."""
    return ipaddress.ip_address(made.getsockname()[0].partition("%")[0]).is_loopback


def url(made: socket.socket) -> str:
    """Return where a browser on this machine finds a socket."""
    host, port = made.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "[::1]" if made.family == socket.AF_INET6 else "127.0.0.1"
        return f"http://{host}:{port}"
    return f"http://[{host}]:{port}" if made.family == socket.AF_INET6 else f"http://{host}:{port}"
