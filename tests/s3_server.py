"""A server that speaks S3, on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
"""What the server takes: anything."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the address of a server with one empty bucket, ``bucket``; skips where it is not installed."""
    pytest.importorskip("moto", reason="moto[s3] is not installed")
    pytest.importorskip("flask_cors", reason="flask-cors is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        for attempt in range(600):
            try:
                urlopen(Request(f"{endpoint}/bucket", method="PUT"), timeout=60).close()
                break
            except URLError:
                assert attempt < 599
                time.sleep(0.1)
        yield endpoint
    finally:
        server.terminate()
        server.wait(30)
