"""Figures of a running server, in the text form of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters of one server; servers in one process do not share them."""

    def __init__(self, waiting: Callable[[], int], pixels: Callable[[], int]) -> None:
        """Register everything.

        Args:
            waiting: returns how many requests hold a place.
            pixels: returns how many pixels are held.
        """
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "clearsight_requests", "Answered requests.", ["endpoint", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "clearsight_request_seconds",
            "From the head of a request to the end of its answer.",
            ["endpoint"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "clearsight_batch_images",
            "Images that were computed together.",
            buckets=BATCHES,
            registry=self.registry,
        )
        self.failed = Counter(
            "clearsight_images_failed", "Images that could not be used.", registry=self.registry
        )
        held = Gauge("clearsight_waiting", "Requests that hold a place.", registry=self.registry)
        held.set_function(waiting)
        decoded = Gauge("clearsight_pixels_held", "Pixels of all decoded images.", registry=self.registry)
        decoded.set_function(pixels)
        ProcessCollector(registry=self.registry)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(endpoint, str(status)).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self.registry)
