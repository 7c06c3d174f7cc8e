"""The one file that a command writes its results into, checked before the work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from clearsight.data.contract.errors import DataError
from clearsight.data.home import expanded, locate, writable_file
from clearsight.data.media.listing import known, protect

TENSORS = frozenset({".parquet", ".onnx", ".safetensors"})
"""Endings of further files that commands read."""


def results_file(path: Path, inputs: Iterable[str | Path], option: str) -> Path:
    """Return where results go: a file that can be written and overwrites nothing that the command reads.

    Args:
        path: as it was given; ``~`` and environment variables are expanded.
        inputs: files that are read, and folders of images or weights; other words, such as the name of
            weights, are passed over.
        option: name of the option that gave the path.

    Raises:
        ConfigError: it is an input, or an image or weights in one.
        RunError: it cannot be written.
    """
    wanted = expanded(path)
    protect(_files(inputs), [wanted], f"give another {option}")
    return writable_file(wanted)


def _files(inputs: Iterable[str | Path]) -> Iterable[Path]:
    for each in inputs:
        try:
            place = locate(str(each))
        except (DataError, OSError, ValueError):
            continue
        yield place
        read = known() | TENSORS
        yield from (file for file in place.rglob("*") if file.suffix.lower() in read)
