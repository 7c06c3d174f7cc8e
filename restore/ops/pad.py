"""Padding of images up to the smallest size, and the multiple, that a network takes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pad(x: Tensor, *, minimum: int, multiple_of: int) -> Tensor:
    """Pad (n, c, h, w) at the bottom and right to at least ``minimum`` and a multiple of ``multiple_of``.

    The last row and column are replicated.

    Sizes may be symbolic, as in an export with dynamic height and width.
    """
    if minimum <= 1 and multiple_of == 1:
        return x
    bottom, right = (_missing(size, minimum, multiple_of) for size in x.shape[2:])
    if not torch.compiler.is_compiling() and bottom == right == 0:
        return x
    return functional.pad(x, (0, right, 0, bottom), mode="replicate")


def _missing(size: int, minimum: int, multiple_of: int) -> int:
    least = -(-minimum // multiple_of) * multiple_of
    whole: int = torch.sym_max(size + (-size) % multiple_of, least)  # type: ignore[no-untyped-call]
    return whole - size
