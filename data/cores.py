"""How many cores there are to use."""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where a container says how much time of the CPU it may use."""


def usable_cores() -> int:
    """Return how many cores this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        # The quota is the word "max" where there is none.
        allowed = max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return cores
    return min(cores, allowed)
