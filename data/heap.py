"""Freed memory stays with the process that will want it again at once."""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Numbers of glibc's ``M_MMAP_THRESHOLD`` and ``M_TRIM_THRESHOLD`` (malloc.h)."""
MOST = 2**31 - 1
"""Bytes: the greatest value that ``mallopt`` takes."""


def keep_freed_memory() -> bool:
    """Let glibc keep up to 2 GiB of freed memory instead of giving it back to the system.

    Every layer of a network allocates its activations and frees those before it. What is larger than 32 MiB,
    as of 50 images of 224 pixels, glibc asks the system for each time, and the system clears every page of
    it: on a virtual machine that takes longer than the convolutions. For processes that compute and end; one
    that waits for requests should give memory back.

    Returns:
        Whether it took effect; other C libraries are left as they are.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(number, MOST) == 1 for number in (MMAP_THRESHOLD, TRIM_THRESHOLD))
