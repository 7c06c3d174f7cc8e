"""Calls of onnxruntime that can be stopped: a graph may loop for ever, and Python sees no signal then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from clearsight.data.contract.errors import RunError

if TYPE_CHECKING:
    import onnxruntime as ort
    from numpy.typing import NDArray

R = TypeVar("R")

STOP_SECONDS = 3.0
"""Time for a stopped call to end: onnxruntime looks between operators, and in every round of a loop."""
THREAD = "clearsight onnxruntime"
"""Name of the threads that call onnxruntime for the main one."""
SHRUNK_FROM = 2**20
"""Input elements from which on a call's memory is given back after it; onnxruntime would keep it."""


class Stoppable:
    """The calls of one session."""

    def __init__(self, session: ort.InferenceSession) -> None:
        """Keep the session."""
        self._session = session
        self._running: set[Any] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return outputs by their names.

        In the main thread a signal whose handler raises (Ctrl-C) ends the call.

        Raises:
            RunError: `stop` was called.
            Exception: whatever onnxruntime raises, see `clearsight.data.onnx_errors`.
        """
        import onnxruntime as ort

        options = ort.RunOptions()
        if sum(each.size for each in feeds.values()) >= SHRUNK_FROM:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        with self._lock:
            if self._stopped:
                raise RunError("is stopped")
            self._running.add(options)
        try:
            return beside(
                lambda: self._session.run(names, feeds, options),
                lambda: setattr(options, "terminate", True),
            )
        finally:
            with self._lock:
                self._running.discard(options)

    def stop(self) -> None:
        """End the calls that run, in any thread, and refuse further ones."""
        with self._lock:
            self._stopped = True
            for options in self._running:
                options.terminate = True


def beside(work: Callable[[], R], stop: Callable[[], None] = lambda: None) -> R:
    """Return what a call of onnxruntime gives; in the main thread signals are seen while it runs.

    Args:
        work: the call.
        stop: asks the call to end; called where a signal's handler raised.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    future: Future[R] = Future()

    def call() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            future.set_exception(error)

    # A daemon, because a call that does not stop when asked to would keep the process alive.
    threading.Thread(target=call, name=THREAD, daemon=True).start()
    try:
        return future.result()
    except BaseException:
        if not future.done():
            stop()
            wait([future], STOP_SECONDS)
        raise


def stuck() -> bool:
    """Return whether a call for the main thread still runs, though nobody waits for it any longer."""
    return any(thread.name == THREAD for thread in threading.enumerate())
