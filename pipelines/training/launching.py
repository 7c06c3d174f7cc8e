"""Starting a training in several processes of this machine, and ending all of them when one ends badly."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic, sleep
from typing import IO

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.cores import usable_cores

LAUNCHED = "CLEARSIGHT_LAUNCHED"
"""Set for processes that were started here: one that loses another says nothing, because this one does."""
LOST = 75
"""Exit code of a process that lost another (EX_TEMPFAIL of sysexits.h)."""
POLL_SECONDS = 0.1
GRACE_SECONDS = 5.0
"""How long processes may take to end by themselves after one of them failed; then they are killed."""


def launch(arguments: Sequence[str], processes: int) -> None:
    """Run ``python -m clearsight.train`` in so many processes, until all have ended.

    The first one has this terminal. What the others print is kept back.

    Args:
        arguments: of each process.
        processes: how many.

    Raises:
        ConfigError: there are fewer than two.
        RunError: a process failed; what the first one printed itself is not repeated.
        SystemExit: the first process failed and has said why.
    """
    if processes < 2:
        raise ConfigError("give 2 or more", where="--processes", hint="leave it out for one")
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    # A store of this process on a port that the system chooses: no port is named, lost and taken by others.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        kept: list[IO[bytes]] = []
        stack.callback(_end, running)
        for rank in range(processes):
            said = stack.enter_context(tempfile.TemporaryFile())
            kept.append(said)
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "clearsight.train", *arguments],
                    env=os.environ | _environment(rank, processes, store.port),
                    # Its end tells a process that this one is gone.
                    stdin=subprocess.PIPE,
                    stdout=None if rank == 0 else said,
                    stderr=None if rank == 0 else said,
                )
            )
        _wait(running)
        _judge([each.returncode for each in running], kept)


def launched() -> bool:
    """Return whether `launch` started this process; from then on it ends when the one that did so is gone."""
    if LAUNCHED not in os.environ:
        return False
    threading.Thread(target=_leave_with_launcher, daemon=True).start()
    return True


def _leave_with_launcher() -> None:
    while os.read(0, 1):
        pass
    os._exit(LOST)


def _environment(rank: int, processes: int, port: int) -> dict[str, str]:
    """Return what torchrun would set."""
    threads = max(1, usable_cores() // processes)
    told = {"OMP_NUM_THREADS": str(threads)} if "OMP_NUM_THREADS" not in os.environ else {}
    return told | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        LAUNCHED: "1",
    }


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Return when all have ended; soon after one has failed."""
    last = float("inf")
    while any(each.poll() is None for each in running) and monotonic() < last:
        if last == float("inf") and any(each.poll() for each in running):
            last = monotonic() + GRACE_SECONDS
        sleep(POLL_SECONDS)
    # Those that are still there were ended because of the failure, and are not its cause.
    for each in running:
        if each.poll() is None:
            each.kill()
            each.wait()
            each.returncode = LOST


def _judge(codes: Sequence[int], kept: Sequence[IO[bytes]]) -> None:
    if not any(codes):
        return
    for rank, code in enumerate(codes):
        if code < 0:
            raise RunError(
                f"process {rank} of {len(codes)} was killed (signal {-code})",
                where="training",
                hint="run the same command again to go on; out of memory: a smaller batch",
            )
    if codes[0] not in (0, LOST):
        raise SystemExit(codes[0])
    rank = next((rank for rank, code in enumerate(codes) if code not in (0, LOST)), 0)
    kept[rank].seek(0)
    lines = kept[rank].read().decode(errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("error: ") if lines else "it said nothing"
    raise RunError(f"process {rank} of {len(codes)} failed: {said}", where="training")


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what is still running, as when this process is stopped."""
    for each in running:
        if each.poll() is None:
            each.terminate()
    for each in running:
        try:
            each.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()
        if each.stdin:
            each.stdin.close()
