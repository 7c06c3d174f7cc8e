"""Object stores and servers by their address: ``s3://``, ``gs://``, ``hf://``, ``http://`` and ``https://``.

One interface, that of fsspec, over what is there: S3 and Google Cloud Storage come with pyarrow, Hugging Face
with the extra ``clearsight[remote]``. Credentials are found as the providers' own tools find them; none is a
field of a config, which is kept with every run.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from clearsight.data.contract.errors import ConfigError, DataError, first_line
from clearsight.data.home import ADDRESS

T = TypeVar("T")

SCHEMES = ("s3", "gs", "hf", "http", "https")
ATTEMPTS = 5
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; each further pause is twice as long."""
PERMANENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Answers that another attempt will not change."""
REFUSED = re.compile(
    r"ACCESS_DENIED|AccessDenied|Forbidden|Unauthorized|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|\b40[13]\b|credential|anonymous caller",
    re.IGNORECASE,
)
"""What errors say where a store does not know, or does not trust, who asks."""
MISSING = re.compile(r"PATH_NOT_FOUND|NO_SUCH_BUCKET|NoSuchBucket|NoSuchKey|\bHTTP status 404\b|\b404\b")
HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "run 'gcloud auth application-default login', or set GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "set HF_TOKEN",
}
"""Scheme -> where credentials are looked for."""


def joined(address: str, name: str) -> str:
    """Return the address of something below another one."""
    return f"{address.rstrip('/')}/{name}" if name else address


def last_name(address: str) -> str:
    """Return the last part of an address, which is what a file there is called."""
    return PurePosixPath(urlsplit(address).path or urlsplit(address).netloc).name or urlsplit(address).netloc


@dataclass(frozen=True)
class Listed:
    """A file in a store.

    Attributes:
        name: path relative to what was listed.
        version: what changes when the file does, as far as the store tells: size, time, ETag.
    """

    name: str
    version: str


class Store:
    """What lies below one address."""

    def __init__(self, address: str) -> None:
        """Open a store; nothing is asked of it yet.

        Raises:
            ConfigError: an unknown scheme, or a package that is missing.
        """
        match = ADDRESS.match(address)
        self.scheme = match.group(1).lower() if match else ""
        if self.scheme not in SCHEMES:
            raise ConfigError(
                f"'{self.scheme}://' is not known", where=address, hint=f"known: {', '.join(SCHEMES)}"
            )
        self.address = address.rstrip("/")
        try:
            self.files = _file_system(self.scheme, _settings())
        except ImportError as error:
            raise _lacking(self.scheme, address, error) from None
        self.root = self.address if self.scheme.startswith("http") else self.address.partition("://")[2]

    def read(self, name: str = "") -> bytes:
        """Return the bytes of a file.

        Raises:
            DataError: there is none, it may not be read, or the store does not answer.
        """
        data: bytes = self._asked(name, lambda path: self.files.cat_file(path))
        return data

    def write(self, name: str, content: bytes) -> None:
        """Put a file; stores show it whole or not at all.

        Raises:
            DataError: it may not be written, or the store does not answer.
        """
        self._asked(name, lambda path: self.files.pipe_file(path, content))

    def delete(self, name: str) -> None:
        """Delete a file.

        Raises:
            DataError: it may not be deleted, or the store does not answer.
        """
        self._asked(name, lambda path: self.files.rm_file(path))

    def version(self, name: str = "") -> str | None:
        """Return the version of a file; None where the address is that of a folder, or of nothing.

        Raises:
            DataError: the store refuses, or does not answer.
        """
        try:
            info = self._asked(name, lambda path: self.files.info(path))
        except _NotFoundError:
            return None
        return _version(info) if info["type"] == "file" else None

    def listing(self) -> list[Listed]:
        """Return all files below the address, sorted by name.

        Raises:
            DataError: the store refuses, does not answer, or cannot be listed.
        """
        if self.scheme.startswith("http"):
            raise DataError(
                "a web server lists no folders", where=self.address, hint="give a tar or parquet file there"
            )
        try:
            found = self._asked("", lambda path: self.files.find(path, detail=True))
        except _NotFoundError:
            return []
        head = f"{self.root}/"
        return sorted(
            (Listed(path.removeprefix(head), _version(info)) for path, info in found.items()),
            key=lambda each: each.name,
        )

    def _asked(self, name: str, ask: Callable[[str], T]) -> T:
        """Ask the store about a file below the address, again and again with growing pauses."""
        where, path = joined(self.address, name), joined(self.root, name)
        for attempt in range(ATTEMPTS):
            try:
                return ask(path)
            except PERMANENT as error:
                raise _explained(error, self.scheme, where) from None
            except ImportError as error:
                raise _lacking(self.scheme, where, error) from None
            except Exception as error:  # noqa: BLE001 each library has errors of its own
                told = str(error)
                if attempt == ATTEMPTS - 1 or REFUSED.search(told) or MISSING.search(told):
                    raise _explained(error, self.scheme, where) from None
            time.sleep(FIRST_PAUSE * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


class _NotFoundError(DataError):
    """There is nothing of this name."""


def _explained(error: Exception, scheme: str, where: str) -> DataError:
    told = first_line(error)
    if isinstance(error, FileNotFoundError) or MISSING.search(str(error)):
        return _NotFoundError("no such file or folder", where=where, hint="check the address")
    if isinstance(error, PermissionError) or REFUSED.search(str(error)):
        return DataError(
            f"access is refused, or there are no credentials ({told})",
            where=where,
            hint=HINTS.get(scheme, "check the address"),
        )
    return DataError(f"the store does not answer after {ATTEMPTS} attempts: {told}", where=where)


def _version(info: dict[str, Any]) -> str:
    parts = (info.get(key) for key in ("ETag", "blob_id", "size", "mtime", "LastModified"))
    return "|".join(str(part) for part in parts if part is not None)


def _lacking(scheme: str, where: str, error: ImportError) -> ConfigError:
    return ConfigError(
        f"{scheme}:// needs a package that is missing ({first_line(error)})",
        where=where,
        hint="pip install 'clearsight[remote]'",
    )


def _settings() -> tuple[tuple[str, str], ...]:
    """Return what the environment says of stores: servers, regions, credentials."""
    return tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "GOOGLE_", "HF_"))))


@lru_cache(maxsize=16)
def _file_system(scheme: str, settings: tuple[tuple[str, str], ...]) -> Any:
    """Return the client of a scheme: one serves all addresses, as long as the environment says the same."""
    import fsspec

    if scheme == "s3":
        return _arrow(_s3(dict(settings)))
    if scheme == "gs":
        from pyarrow.fs import GcsFileSystem

        return _arrow(GcsFileSystem())
    if scheme.startswith("http"):
        from clearsight.data.remote.http import Http

        return Http()
    return fsspec.filesystem(scheme, skip_instance_cache=True)


def _arrow(files: Any) -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper

    return ArrowFSWrapper(files, skip_instance_cache=True)


def _s3(settings: Mapping[str, str]) -> Any:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    # Another server than the provider's own.
    endpoint = settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL")
    region = settings.get("AWS_REGION") or settings.get("AWS_DEFAULT_REGION")
    told: dict[str, Any] = {"retry_strategy": AwsStandardS3RetryStrategy(max_attempts=2)}
    if endpoint:
        parts = urlsplit(endpoint)
        told |= {"endpoint_override": parts.netloc, "scheme": parts.scheme, "region": "us-east-1"}
    if region:
        told["region"] = region
    return S3FileSystem(**told)
