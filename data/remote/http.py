"""Single files of web servers, with the four methods of fsspec's file systems that `Store` asks for."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT = 60.0
"""Seconds without an answer after which a request fails."""


class Http:
    """Reads files by their URL; a web server lists no folders and takes no files."""

    def cat_file(self, url: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            OSError: there is none, it may not be read, or the answer broke off.
        """
        with self._answer(Request(url)) as answer:
            content: bytes = answer.read()
            told = answer.headers.get("Content-Length")
        if told is not None and int(told) != len(content):
            raise OSError(f"the answer broke off after {len(content)} of {told} bytes")
        return content

    def info(self, url: str) -> dict[str, Any]:
        """Return what the server says of a file: size, ETag and time of the last change.

        Raises:
            OSError: there is none, or it may not be read.
        """
        with self._answer(Request(url, method="HEAD")) as answer:
            headers = answer.headers
        told = {"size": headers.get("Content-Length"), "ETag": headers.get("ETag")}
        return told | {"type": "file", "LastModified": headers.get("Last-Modified")}

    def _answer(self, request: Request) -> Any:
        try:
            return urlopen(request, timeout=TIMEOUT)
        except HTTPError as error:
            # It holds the connection.
            error.close()
            if error.code in (404, 410):
                raise FileNotFoundError(request.full_url) from None
            if error.code in (401, 403):
                raise PermissionError(f"HTTP {error.code}") from None
            raise OSError(f"HTTP {error.code} {error.reason}") from None
