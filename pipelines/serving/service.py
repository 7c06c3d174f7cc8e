"""From the bytes of a request to labels and restored images, within the limits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from clearsight.data.contract.deployed import Deployed
from clearsight.data.contract.errors import ClearsightError, DataError, ShapeError
from clearsight.data.contract.text import shown
from clearsight.data.cores import usable_cores
from clearsight.data.media.images import opened
from clearsight.data.media.lossless import encode, restored
from clearsight.data.onnx_run import STOP_SECONDS
from clearsight.pipelines.inference.beside import NOTHING, Beside
from clearsight.pipelines.inference.inputs import GIVE_SIZE, Arrived, Want, read_bytes
from clearsight.pipelines.serving.batching import Batching
from clearsight.pipelines.serving.limits import Budget, Counter, Limits, RefusedError, busy, returned
from clearsight.pipelines.serving.metrics import Metrics
from clearsight.pipelines.serving.models import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

Result = TypeVar("Result")
Ranked: TypeAlias = tuple[tuple[str, float], ...]

MOMENT = 0.5
"""Seconds that a running batch has to finish when the server ends."""
MOST_SCANS = 100
"""Most scans of a progressive JPEG: each takes a pass over the whole image; encoders write about ten."""
SCAN = b"\xff\xda"
THE_BODY = ("is empty", "is not an image")
BOMB = "has too many pixels"
UPLOAD = "resize the image before you send it"


@dataclass(frozen=True)
class Asked:
    """What a request wants to know of its images.

    Attributes:
        top: number of classes.
        image: whether it wants the restored image.
        unrestored: whether it wants to know what the classifier alone says.
    """

    top: int
    image: bool = False
    unrestored: bool = False


@dataclass(frozen=True)
class Served:
    """Result for one image.

    Attributes:
        ranked: classes and probabilities, the likeliest first.
        width: of the upright image.
        height: likewise.
        notes: what was done to it.
        png: the restored image as a PNG file, where it was asked for; else None.
        beside: what the file says beside the classes.
        unrestored: like ``ranked``, of the classifier alone, where it was asked for and is served; else None.
    """

    ranked: Ranked
    width: int
    height: int
    notes: tuple[str, ...]
    png: bytes | None = None
    beside: Beside = NOTHING
    unrestored: Ranked | None = None


@dataclass(frozen=True)
class Job:
    """One image for one model."""

    model: Model
    data: bytes
    top: int
    wants_image: bool = False


class InferenceService:
    """Decodes, computes and encodes in threads; one event loop keeps track of them."""

    def __init__(self, models: Sequence[Model], limits: Limits) -> None:
        """Start the threads.

        Args:
            models: what is served, at least one; the first answers requests that name none.
            limits: of the server.
        """
        self.models, self.limits = {each.name: each for each in models}, limits
        self.default = models[0]
        self.places = Counter(limits.waiting)
        self.bytes = Counter(limits.all_bytes)
        self.pixels = Budget(limits.all_pixels)
        self.metrics = Metrics(lambda: self.places.held, lambda: self.pixels.most - self.pixels.free)
        self.batching = Batching(self.metrics.batches.observe)
        self.coders = ThreadPoolExecutor(min(4, usable_cores()), "coder")
        self.running: set[asyncio.Task[list[Served | RefusedError]]] = set()

    def close(self) -> bool:
        """Cancel running work and stop the threads; return whether they stopped."""
        stopped = self.batching.close(MOMENT)
        if not stopped:
            for each in self.models.values():
                each.session.stop()
            stopped = self.batching.close(STOP_SECONDS)
        self.coders.shutdown(wait=stopped, cancel_futures=True)
        return stopped

    def model(self, name: str) -> Model:
        """Return a model by its name.

        Raises:
            RefusedError: there is none of that name.
        """
        if name not in self.models:
            raise RefusedError(404, f"no model '{name:.100}' is served", hint="/v1/models lists them")
        return self.models[name]

    async def serve(
        self, model: Model, images: Sequence[bytes], gone: asyncio.Future[None], asked: Asked
    ) -> list[Served | RefusedError]:
        """Return the results for encoded images, in their order: each its own, or why it has none.

        Computations that no client waits for any longer are abandoned as soon as possible.

        Args:
            model: what computes them.
            images: the encoded images; together they are bounded as one image is.
            gone: done when the client has left.
            asked: what is wanted.

        Raises:
            RefusedError: a client that left, or a timeout.
        """
        work = asyncio.create_task(self._work(model, images, asked))
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
            self.metrics.failed.inc(len(images))
            raise busy(f"no answer within {seconds:g} seconds")
        finally:
            work.cancel()

    def _ended(self, work: asyncio.Task[list[Served | RefusedError]]) -> None:
        self.running.discard(work)
        if not work.cancelled():
            # Nobody else retrieves the exception of an abandoned request.
            work.exception()

    async def _work(self, model: Model, images: Sequence[bytes], asked: Asked) -> list[Served | RefusedError]:
        jobs = [Job(model, data, asked.top, wants_image=asked.image) for data in images]
        if asked.unrestored and model.unrestored is not None:
            jobs += [Job(model.unrestored, data, asked.top) for data in images]
        sizes = _within(await _each([self._looked(job) for job in jobs]), len(images), self.limits.pixels)
        pixels = sum(size.pixels for size in sizes if isinstance(size, Size))
        with returned(await self.pixels.take(pixels)) as share:
            arrived = await _each([self._decoded(*each) for each in zip(jobs, sizes, strict=True)])
            share.shrink(sum(_held(*each) for each in zip(jobs, arrived, strict=True)))
            served = await _each([self._computed(*each) for each in zip(jobs, arrived, strict=True)])
        return [self._answer(*each) for each in zip_longest(served[: len(images)], served[len(images) :])]

    async def _looked(self, job: Job) -> Size:
        return await self._coded(look, job.data, job.model.want, self.limits.pixels)

    async def _decoded(self, job: Job, size: Size | ClearsightError) -> Arrived:
        _raised(size)
        return await self._coded(read_bytes, job.data, "", "", job.model.want)

    async def _computed(self, job: Job, image: Arrived | ClearsightError) -> Served:
        image = _raised(image)
        queued = self.batching.submit(job.model.session, image, top=job.top, wants_image=job.wants_image)
        computed = await _finished(queued)
        if computed.error is not None:
            raise computed.error
        png = None if computed.image is None else await self._coded(_png, image, computed.image)
        return Served(computed.ranked, image.width, image.height, image.notes, png, computed.beside)

    def _answer(
        self, served: Served | ClearsightError, alone: Served | ClearsightError | None
    ) -> Served | RefusedError:
        """Return the answer for an image, with what the classifier alone says or why it says nothing."""
        if isinstance(served, ClearsightError):
            return self._refusal(served)
        if isinstance(alone, ClearsightError):
            note = f"the classifier alone has no answer: {self._refusal(alone).what}"
            return replace(served, notes=(*served.notes, note))
        return served if alone is None else replace(served, unrestored=alone.ranked)

    async def _coded(self, work: Callable[..., Result], *given: object) -> Result:
        return await _finished(self.coders.submit(work, *given))

    def _refusal(self, error: ClearsightError) -> RefusedError:
        """Turn an error into an answer for a client, who sees neither files nor command-line options."""
        self.metrics.failed.inc()
        if isinstance(error, RefusedError):
            return error
        if not isinstance(error, DataError | ShapeError):
            sys.stderr.write(f"error: {shown(str(error))}\n")
            return RefusedError(500, "the image could not be computed", hint="try a smaller one")
        hint = UPLOAD if error.hint == GIVE_SIZE else error.hint
        return RefusedError(422, _sentence(error.what), hint=hint)


def _raised(found: Result | ClearsightError) -> Result:
    """Return what was found, or raise why nothing was."""
    if isinstance(found, ClearsightError):
        raise found
    return found


async def _each(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result | ClearsightError]:
    """Do work side by side; return each result, or the error of the image that it is about."""
    # With exceptions as results, a cancelled gather ends when the last thread has ended, not the first.
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException) and not isinstance(each, ClearsightError):
            raise each
    return cast("list[Result | ClearsightError]", done)


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


def _within(sizes: Sequence[Size | ClearsightError], images: int, most: int) -> list[Size | ClearsightError]:
    """Return the sizes of all jobs, with an error in place of those of images that are too many together.

    Args:
        sizes: of the jobs: of each image first, then of each image again for the classifier alone.
        images: how many there are.
        most: pixels of all images together.
    """
    checked, total = list(sizes), 0
    for at, size in enumerate(sizes[:images]):
        if isinstance(size, Size) and total + size.largest <= most:
            total += size.largest
            continue
        if isinstance(size, Size):
            what = f"with this image the request has more than {most:,} pixels"
            size = RefusedError(413, what, hint="send it in another request")
        # Nobody waits for a comparison with nothing.
        checked[at::images] = [size] * len(checked[at::images])
    return checked


@dataclass(frozen=True)
class Size:
    """The size of an image that is not decoded yet.

    Attributes:
        pixels: in the file.
        largest: the same, or in what would be made of it, where that is more.
    """

    pixels: int
    largest: int


def look(data: bytes, want: Want, most: int) -> Size:
    """Return the size of an encoded image without decoding it.

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
    return Size(width * height, largest)


def _growth(deployed: Deployed) -> int:
    scales = [each.scale for each in deployed.outputs if each.gives == "image"]
    largest: int = max([1, *scales])
    return largest * largest


def _held(job: Job, image: Arrived | ClearsightError) -> int:
    """Return how many pixels a decoded image may take, restored image included."""
    if isinstance(image, ClearsightError):
        return 0
    height, width = image.image.pixels.shape[:2]
    return int(height) * int(width) * _growth(job.model.deployed)


def _png(image: Arrived, pixels: NDArray[Any]) -> bytes:
    data, _ = encode(restored(image.image, pixels), Path("restored.png"))
    return data


def _sentence(what: str) -> str:
    """Return what is wrong with a subject: errors of images leave it to the name of the file."""
    if what.startswith(THE_BODY):
        return f"the body {what}"
    return f"the image {what}" if what.startswith(("is ", "has ")) else what
