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
from clearsight.pipelines.inference.inputs import GIVE_SIZE, Arrived, Want, read_bytes, wanted
from clearsight.pipelines.inference.session import Session
from clearsight.pipelines.serving.batching import Batching
from clearsight.pipelines.serving.limits import Budget, Counter, Limits, RefusedError, busy, returned
from clearsight.pipelines.serving.metrics import Metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

Result = TypeVar("Result")

MOMENT = 0.5
"""Seconds that a running batch has to end by itself when the server does."""
MOST_SCANS = 100
"""Of a progressive JPEG, each of which goes over the whole image again; encoders write ten."""
SCAN = b"\xff\xda"
THE_BODY = ("is empty", "is not an image")
BOMB = "has too many pixels"
UPLOAD = "resize the image before you send it"


@dataclass(frozen=True)
class Served:
    """What came out for one request.

    Attributes:
        ranked: classes and probabilities, the likeliest first.
        width: of the upright image.
        height: likewise.
        notes: what was done to it.
        png: the restored image as a file, where it was asked for.
    """

    ranked: tuple[tuple[str, float], ...]
    width: int
    height: int
    notes: tuple[str, ...]
    png: bytes | None


class InferenceService:
    """Decodes, computes and encodes; threads do the work, one event loop keeps the books."""

    def __init__(self, session: Session, limits: Limits, size: int | None) -> None:
        """Start the threads.

        Args:
            session: the deployed file.
            limits: what is taken at most.
            size: short side that images are brought to; None: as they are.

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
        """End what is running, and stop the threads; return whether they stopped."""
        stopped = self.batching.close(MOMENT)
        if not stopped:
            self.session.stop()
            stopped = self.batching.close(STOP_SECONDS)
        self.coders.shutdown(wait=stopped, cancel_futures=True)
        return stopped

    async def serve(self, data: bytes, gone: asyncio.Future[None], *, top: int, image: bool) -> Served:
        """Return what comes out for an encoded image.

        A computation that nobody waits for any longer is left as soon as it can be.

        Args:
            data: the encoded image.
            gone: done when the client has left.
            top: classes that are wanted.
            image: whether the restored image is wanted.

        Raises:
            RefusedError: an image that cannot be used, a client that left, or no time left.
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
            # Of a request that was given up nobody else asks for it.
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
        return Served(computed.ranked, image.width, image.height, image.notes, png)

    async def _coded(self, work: Callable[..., Result], *given: object) -> Result:
        return await _finished(self.coders.submit(work, *given))

    def _refusal(self, error: ClearsightError) -> RefusedError:
        """Turn an error into an answer, in words for somebody who sees neither files nor options."""
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
    """Wait for a thread. Where nobody waits any longer its work is dropped, or its end waited for."""
    coming = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(coming)
    except asyncio.CancelledError:
        if not future.cancel():
            # A thread cannot be stopped: what it holds is held until it ends.
            await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()
        raise


def look(data: bytes, want: Want, most: int) -> tuple[int, int]:
    """Return width and height of an encoded image without decoding it.

    Raises:
        DataError: no image, or a damaged head.
        RefusedError: too many pixels in it, or in what would be made of it, or too slow to decode.
    """
    try:
        with opened(data, "") as image:
            width, height = image.size
            scans = data.count(SCAN) if image.format in ("JPEG", "MPO") else 0
    except DataError as error:
        if error.what.startswith(BOMB):
            # Pillow's own limit is another one.
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
    """Return the pixels that are held for an image once it is decoded."""
    height, width = image.image.pixels.shape[:2]
    return int(height) * int(width) * _growth(deployed)


def _png(image: Arrived, pixels: NDArray[Any]) -> bytes:
    data, _ = encode(restored(image.image, pixels), Path("restored.png"))
    return data


def _sentence(what: str) -> str:
    """Return what is wrong as a whole sentence: errors of images name a file."""
    if what.startswith(THE_BODY):
        return f"the body {what}"
    return f"the image {what}" if what.startswith(("is ", "has ")) else what
