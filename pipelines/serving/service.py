"""From the bytes of a request to labels and restored images, within the limits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clearsight.data.contract.deployed import Deployed
from clearsight.data.contract.errors import ClearsightError, DataError, ShapeError
from clearsight.data.contract.text import shown
from clearsight.data.cores import usable_cores
from clearsight.data.media.images import opened
from clearsight.data.media.lossless import encode, restored
from clearsight.data.onnx_run import STOP_SECONDS
from clearsight.pipelines.inference.beside import Beside
from clearsight.pipelines.inference.inputs import GIVE_SIZE, Arrived, Want, read_bytes, wanted
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.serving.batching import Batching
from clearsight.pipelines.serving.limits import Budget, Counter, Limits, RefusedError, busy, returned
from clearsight.pipelines.serving.metrics import Metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

Result = TypeVar("Result")

MOMENT = 0.5
"""Seconds that a running batch has to finish when the server ends."""
MOST_SCANS = 100
"""Most scans of a progressive JPEG: each takes a pass over the whole image; encoders write about ten."""
SCAN = b"\xff\xda"
THE_BODY = ("is empty", "is not an image")
BOMB = "has too many pixels"
UPLOAD = "resize the image before you send it"


@dataclass(frozen=True)
class Served:
    """Result for one request.

    Attributes:
        ranked: classes and probabilities, the likeliest first.
        width: of the upright image.
        height: likewise.
        notes: what was done to it.
        png: the restored image as a PNG file, where it was asked for; else None.
        beside: what the file says beside the classes.
    """

    ranked: tuple[tuple[str, float], ...]
    width: int
    height: int
    notes: tuple[str, ...]
    png: bytes | None
    beside: Beside


class InferenceService:
    """Decodes, computes and encodes in threads; one event loop keeps track of them."""

    def __init__(self, session: Session, limits: Limits, size: int | None) -> None:
        """Start the threads.

        Args:
            session: the deployed file.
            limits: of the server.
            size: side of the square that images are resized and cropped to; None: as the file needs.

        Raises:
            ConfigError: a size that the file does not take.
        """
        self.session, self.limits = session, limits
        self.want = wanted(session.deployed, size)
        self.places = Counter(limits.waiting)
        self.bytes = Counter(limits.all_bytes)
        self.pixels = Budget(limits.all_pixels)
        self.metrics = Metrics(lambda: self.places.held, lambda: self.pixels.most - self.pixels.free)
        self.batching = Batching(session, self.metrics.batches.observe)
        self.coders = ThreadPoolExecutor(min(4, usable_cores()), "coder")
        self.running: set[asyncio.Task[Served]] = set()

    def close(self) -> bool:
        """Cancel running work and stop the threads; return whether they stopped."""
        stopped = self.batching.close(MOMENT)
        if not stopped:
            self.session.stop()
            stopped = self.batching.close(STOP_SECONDS)
        self.coders.shutdown(wait=stopped, cancel_futures=True)
        return stopped

    async def serve(self, data: bytes, gone: asyncio.Future[None], *, top: int, image: bool) -> Served:
        """Return the result for an encoded image.

        A computation that no client waits for any longer is abandoned as soon as possible.

        Args:
            data: the encoded image.
            gone: done when the client has left.
            top: number of classes that are wanted.
            image: whether the restored image is wanted.

        Raises:
            RefusedError: an image that cannot be used or computed, a client that left, or a timeout.
        """
        work = asyncio.create_task(self._work(data, top=top, wants_image=image))
        # The loop itself holds tasks by weak references only.
        self.running.add(work)
        work.add_done_callback(self._ended)
        try:
            seconds = self.limits.answer_seconds
            either: set[asyncio.Future[Any]] = {work, gone}
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise RefusedError(499, "the client has left")
            raise busy(f"no answer within {seconds:g} seconds")
        except ClearsightError as error:
            raise self._refusal(error) from None
        finally:
            work.cancel()

    def _ended(self, work: asyncio.Task[Served]) -> None:
        self.running.discard(work)
        if not work.cancelled():
            # Nobody else retrieves the exception of an abandoned request.
            work.exception()

    async def _work(self, data: bytes, *, top: int, wants_image: bool) -> Served:
        width, height = await self._coded(look, data, self.want, self.limits.pixels)
        with returned(await self.pixels.take(width * height)) as share:
            image = await self._coded(read_bytes, data, "", "", self.want)
            share.shrink(held(image, self.session.deployed))
            computed = await _finished(self.batching.submit(image, top=top, wants_image=wants_image))
            if computed.error is not None:
                raise computed.error
            png = None
            if computed.image is not None:
                png = await self._coded(_png, image, computed.image)
        return Served(computed.ranked, image.width, image.height, image.notes, png, computed.beside)

    async def _coded(self, work: Callable[..., Result], *given: object) -> Result:
        return await _finished(self.coders.submit(work, *given))

    def _refusal(self, error: ClearsightError) -> RefusedError:
        """Turn an error into an answer for a client, who sees neither files nor command-line options."""
        if isinstance(error, RefusedError):
            if error.status != 499:
                self.metrics.failed.inc()
            return error
        self.metrics.failed.inc()
        if not isinstance(error, DataError | ShapeError):
            sys.stderr.write(f"error: {shown(str(error))}\n")
            return RefusedError(500, "the image could not be computed", hint="try a smaller one")
        hint = UPLOAD if error.hint == GIVE_SIZE else error.hint
        return RefusedError(422, _sentence(error.what), hint=hint)


async def _finished(future: Future[Result]) -> Result:
    """Wait for work in a thread; on cancellation, drop the work, or wait for its end if it has begun."""
    coming = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(coming)
    except asyncio.CancelledError:
        if not future.cancel():
            # A thread cannot be stopped: its memory stays in use until it ends.
            await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()
        raise


def look(data: bytes, want: Want, most: int) -> tuple[int, int]:
    """Return width and height of an encoded image without decoding it.

    Raises:
        DataError: not an image, or a damaged header.
        RefusedError: too many pixels in it, or in what would be made of it, or too slow to decode.
    """
    try:
        with opened(data, "") as image:
            width, height = image.size
            scans = data.count(SCAN) if image.format in ("JPEG", "MPO") else 0
    except DataError as error:
        if error.what.startswith(BOMB):
            # Pillow has a limit of its own.
            raise RefusedError(413, f"the image {BOMB}, at most {most:,} are taken", hint=UPLOAD) from None
        raise
    made_height, made_width = want.size or (height, width)
    largest = max(width * height, made_height * made_width * _growth(want.deployed))
    if largest > most:
        what = f"the image has {width}x{height} pixels"
        if width * height <= most:
            what += f" and would become one of {largest:,}"
        raise RefusedError(413, f"{what}, at most {most:,} pixels are taken", hint=UPLOAD)
    if scans > MOST_SCANS:
        raise RefusedError(
            422, f"the image has {scans} scans, at most {MOST_SCANS} are decoded", hint="save it again"
        )
    return width, height


def _growth(deployed: Deployed) -> int:
    scales = [each.scale for each in deployed.outputs if each.gives == "image"]
    largest: int = max([1, *scales])
    return largest * largest


def held(image: Arrived, deployed: Deployed) -> int:
    """Return how many pixels a decoded image may take, restored image included."""
    height, width = image.image.pixels.shape[:2]
    return int(height) * int(width) * _growth(deployed)


def _png(image: Arrived, pixels: NDArray[Any]) -> bytes:
    data, _ = encode(restored(image.image, pixels), Path("restored.png"))
    return data


def _sentence(what: str) -> str:
    """Return what is wrong with a subject: errors of images leave it to the name of the file."""
    if what.startswith(THE_BODY):
        return f"the body {what}"
    return f"the image {what}" if what.startswith(("is ", "has ")) else what
