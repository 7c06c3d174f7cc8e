"""The CPU of this machine, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
"""Where Linux says which CPU this is."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""File with a container's CPU quota (cgroup v2)."""


def usable_cores() -> int:
    """Return how many cores this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="utf-8").split()
        # The quota is the word "max" where there is none.
        allowed = max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return cores
    return min(cores, allowed)


def cpu_info() -> dict[str, str]:
    """Return what Linux reports about the first core; nothing elsewhere."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_model() -> str:
    """Return what this machine's CPU is called."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def processes(workers: int, device: str) -> int:
    """Return the number of processes: as many as asked for; for 0 one a core, but one in all on a GPU."""
    return workers or (usable_cores() if device == "cpu" else 1)
