"""Units of work for the tests of Ray: a module that its workers can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from clearsight.data.executors.contract import Parcel, Sent


def pack(folder: Path) -> Callable[[int], Parcel]:
    """Send with each unit its tens, which ten units share, and the file that it left behind."""

    def packed(unit: int) -> Parcel:
        kept = folder / f"memory-{unit}"
        files = {kept: kept.read_bytes()} if kept.exists() else {}
        return Parcel(unit, unit // 10, lambda: unit // 10 * 10, files)

    return packed


def start_adding(folder: Path) -> Callable[..., int]:
    """Add a unit to what it shares and write the sum down. 13 is refused, 14 kills its process, 15 hangs, once."""

    def add(unit: int, sent: Sent) -> int:
        if unit == 13:
            raise ValueError("13 is not for adding")
        memory = folder / f"memory-{unit}"
        if unit in (14, 15) and sent.disk.read(memory) is None:
            sent.disk.write(memory, b"was here")
            time.sleep(1)
            if unit == 14:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        if unit == 16:
            os.kill(os.getpid(), signal.SIGKILL)
        sent.disk.remove(memory)
        sent.disk.write(folder / "sums" / str(unit), str(unit + sent.shared).encode())
        return unit + int(sent.shared)

    return add
