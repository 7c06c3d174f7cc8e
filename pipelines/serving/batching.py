"""Computes waiting images of one model and size together, in one thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from clearsight.pipelines.inference.compute import Computed, Computer
from clearsight.pipelines.inference.inputs import Arrived
from clearsight.pipelines.inference.session import Session


@dataclass(eq=False)
class Waiting:
    """One image in the queue, and what is asked for.

    Attributes:
        session: the deployed file that computes it.
        image: the image, ready to be computed.
        top: number of classes that are wanted.
        wants_image: whether the restored image is wanted.
        done: future of the result.
    """

    session: Session
    image: Arrived
    top: int
    wants_image: bool
    done: Future[Computed] = field(default_factory=Future)

    @property
    def form(self) -> tuple[object, ...]:
        """Return what images must share to be computed in one call."""
        return (id(self.session), *((each.shape, each.dtype) for each in self.image.inputs))


class Batching:
    """The queue of images and the thread that computes them.

    No image waits for a batch to fill: while one batch is computed, the next one gathers. The oldest image
    is always in the next batch, with those of its model and size that came since. All models share
    the thread: two that compute at once would only take the cores from each other.
    """

    def __init__(self, on_batch: Callable[[int], None] = lambda count: None) -> None:
        """Start the thread.

        Args:
            on_batch: called with the number of images of each batch.
        """
        self.on_batch = on_batch
        self.queue: deque[Waiting] = deque()
        self.lock = threading.Lock()
        self.worker = ThreadPoolExecutor(1, "compute")
        self.last: Future[None] | None = None

    def submit(self, session: Session, image: Arrived, *, top: int, wants_image: bool) -> Future[Computed]:
        """Queue an image for a deployed file; its future can be cancelled until it is computed."""
        waiting = Waiting(session, image, top, wants_image)
        with self.lock:
            self.queue.append(waiting)
        self.worker.submit(self._next)
        return waiting.done

    def close(self, seconds: float) -> bool:
        """Cancel the queue, and return whether the running batch ended within ``seconds``."""
        with self.lock:
            for request in self.queue:
                request.done.cancel()
            self.queue.clear()
        if self.last is None:
            self.last = self.worker.submit(lambda: None)
            self.worker.shutdown(wait=False)
        return not wait([self.last], seconds).not_done

    def _next(self) -> None:
        batch = self._batch()
        if not batch:
            # The image was in an earlier batch, or was cancelled.
            return
        self.on_batch(len(batch))
        try:
            computer = Computer(
                batch[0].session,
                top=max(request.top for request in batch),
                batch=None,
                images=any(request.wants_image for request in batch),
            )
            results = computer([request.image for request in batch])
        except BaseException as error:
            for request in batch:
                request.done.set_exception(error)
            raise
        for request, computed in zip(batch, results, strict=True):
            image = computed.image if request.wants_image else None
            ranked = computed.ranked[: request.top]
            request.done.set_result(replace(computed, ranked=ranked, image=image))

    def _batch(self) -> list[Waiting]:
        """Take the oldest image and those that can be computed with it; a cancelled one is dropped."""
        batch: list[Waiting] = []
        with self.lock:
            rest: deque[Waiting] = deque()
            most = 1
            for request in self.queue:
                if batch and (len(batch) == most or request.form != batch[0].form):
                    rest.append(request)
                elif request.done.set_running_or_notify_cancel():
                    if not batch:
                        height, width = request.image.inputs[0].shape[:2]
                        most = request.session.batch(height, width)
                    batch.append(request)
            self.queue = rest
        return batch
