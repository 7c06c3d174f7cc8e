"""onnxruntime's errors in one plain line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from clearsight.data.contract.errors import RunError, WeightsError


@contextlib.contextmanager
def plain_errors(
    path: Path, what: str, hint: str, kind: type[WeightsError] | type[RunError] = WeightsError
) -> Iterator[None]:
    """Turn onnxruntime's errors, which share no base class, into one plain line.

    Args:
        path: the ONNX file.
        what: what onnxruntime could not do.
        hint: what to do about it.
        kind: class of the error that is raised.
    """
    try:
        yield
    except Exception as error:
        if not by_onnxruntime(error):
            raise
        first = (str(error).splitlines() or [""])[0]
        reason = first.rpartition(" : ")[2].rpartition("onnxruntime::")[2]
        raise kind(f"{what}: {reason}", where=str(path), hint=hint) from None


def by_onnxruntime(error: Exception) -> bool:
    """Return whether onnxruntime raised the error: of its own classes, or a plain RuntimeError.

    Failures of providers and of allocations come as plain RuntimeErrors, names that are not valid UTF-8 as
    UnicodeDecodeErrors.
    """
    own = type(error).__module__.startswith("onnxruntime")
    return own or isinstance(error, (RuntimeError, UnicodeDecodeError))
