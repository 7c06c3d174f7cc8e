"""How a process that does units is set up, whatever handed them out."""

from __future__ import annotations

from clearsight.data.heap import keep_freed_memory


def set_up_worker() -> None:
    """Leave this process one thread of OpenCV, and the memory that it freed.

    The units are the parallel axis; threads inside each would only fight for the cores.
    """
    import cv2

    cv2.setNumThreads(1)
    keep_freed_memory()
