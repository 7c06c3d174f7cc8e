"""The application: its endpoints, its pages and its errors."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from clearsight.data.contract.deployed import BESIDE
from clearsight.pipelines.runs.versions import clearsight_version
from clearsight.pipelines.serving.answers import (
    Batch,
    Failure,
    Health,
    InBatch,
    LimitsTold,
    Loaded,
    Models,
    Predicted,
    Prediction,
    Reason,
)
from clearsight.pipelines.serving.bodies import body, left
from clearsight.pipelines.serving.forms import FORM, MOST_FILES, files
from clearsight.pipelines.serving.limits import RefusedError
from clearsight.pipelines.serving.metrics import CONTENT_TYPE
from clearsight.pipelines.serving.middleware import PLACE, Middleware, refusal
from clearsight.pipelines.serving.models import Model
from clearsight.pipelines.serving.service import Asked, InferenceService, Ranked, Served

PAGES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/docs": ("docs.html", "text/html"),
    "/docs.js": ("docs.js", "text/javascript"),
}
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of an image file: PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or JPEG 2000.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
FORM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"A form of up to {MOST_FILES} image files, whatever its fields are called.",
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            }
        },
    }
}
FAILURES: dict[int | str, dict[str, Any]] = {
    404: {"model": Failure, "description": "No such model, or it gives no images."},
    408: {"model": Failure, "description": "The body came too slowly."},
    413: {"model": Failure, "description": "The body or the image is too large."},
    422: {"model": Failure, "description": "The image cannot be used, or a parameter makes no sense."},
    500: {"model": Failure, "description": "The image could not be computed."},
    503: {"model": Failure, "description": "Too much to do; see the header Retry-After."},
}
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "One line per figure.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The restored image.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def create_app(service: InferenceService, top: int, hosts: Collection[str] = ()) -> Middleware:
    """Return the application for deployed files.

    Args:
        service: what computes the answers.
        top: classes in an answer where a request names no number.
        hosts: host names that requests may use for the server; empty: any.
    """
    app = FastAPI(
        title="clearsight",
        description=f"Labels and restored images from {', '.join(service.models)}.",
        version=clearsight_version(),
        # FastAPI's own pages load their scripts from another site.
        docs_url=None,
        redoc_url=None,
    )
    _work(app, service, top)
    _state(app, service, top)
    _pages(app)
    _errors(app)
    known = {*PAGES, "/openapi.json", "/health", "/metrics", "/v1/models"}
    return Middleware(app, service, hosts, known)


Top = Annotated[int, Query(ge=1, le=10_000, description="Most classes.")]
Restored = Annotated[bool, Query(description="Give the restored image too.")]
Unrestored = Annotated[
    bool,
    Query(description="Say too what the classifier alone makes of the image as it came, where it is served."),
]


def _work(app: FastAPI, service: InferenceService, top: int) -> None:
    first = service.default.name
    told: dict[str, Any] = {"responses": FAILURES, "response_model_exclude_none": True}

    # What is no part of the path stands in the query: the shorter paths take ?model= as well.
    @app.post("/v1/predict", openapi_extra=IMAGE_BODY, **told)
    @app.post("/v1/models/{model}/predict", openapi_extra=IMAGE_BODY, **told)
    async def predict(
        request: Request,
        model: str = first,
        top: Top = top,
        restored: Restored = False,
        unrestored: Unrestored = False,
    ) -> Predicted:
        """Classify an image."""
        asked = Asked(top, restored, unrestored)
        return await _predicted(await _served(request, service, service.model(model), asked))

    @app.post("/v1/batch", openapi_extra=FORM_BODY, **told)
    @app.post("/v1/models/{model}/batch", openapi_extra=FORM_BODY, **told)
    async def batch(
        request: Request,
        model: str = first,
        top: Top = top,
        restored: Restored = False,
        unrestored: Unrestored = False,
    ) -> Batch:
        """Classify several images: each gets its own answer, or its own error."""
        chosen = service.model(model)
        async with body(request, service, form=True) as data:
            named = files(data, request.headers.get("content-type", ""))
            images = [content for _, content in named]
            served = await _computed(request, service, chosen, images, Asked(top, restored, unrestored))
        return Batch(
            images=[await _in_batch(name, each) for (name, _), each in zip(named, served, strict=True)]
        )

    @app.post("/v1/restore", responses=IMAGE | FAILURES, openapi_extra=IMAGE_BODY, response_class=Response)
    @app.post(
        "/v1/models/{model}/restore",
        responses=IMAGE | FAILURES,
        openapi_extra=IMAGE_BODY,
        response_class=Response,
    )
    async def restore(request: Request, model: str = first) -> Response:
        """Restore an image; the answer is a PNG file."""
        chosen = service.model(model)
        if not chosen.gives_image:
            raise RefusedError(404, "the file gives no images", hint="export it with --taps")
        served = await _served(request, service, chosen, Asked(1, image=True))
        return Response(served.png, media_type="image/png")


async def _served(request: Request, service: InferenceService, model: Model, asked: Asked) -> Served:
    """Return the result for the one image in a body."""
    async with body(request, service) as data:
        (served,) = await _computed(request, service, model, [data], asked)
    if isinstance(served, RefusedError):
        raise served
    return served


async def _computed(
    request: Request, service: InferenceService, model: Model, images: Sequence[bytes], asked: Asked
) -> list[Served | RefusedError]:
    request.scope[PLACE].take()
    gone = asyncio.ensure_future(left(request))
    try:
        return await service.serve(model, images, gone, asked)
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone


async def _predicted(served: Served) -> Predicted:
    png = None
    if served.png is not None:
        png = (await asyncio.to_thread(base64.b64encode, served.png)).decode()
    return Predicted(
        predictions=_classes(served.ranked),
        width=served.width,
        height=served.height,
        notes=list(served.notes),
        set=None if served.beside.set is None else list(served.beside.set),
        abstains=served.beside.abstains,
        suspicion=served.beside.suspicion,
        alarm=served.beside.alarm,
        unrestored=None if served.unrestored is None else _classes(served.unrestored),
        restored=png,
    )


def _classes(ranked: Ranked) -> list[Prediction]:
    return [Prediction(label=label, probability=value) for label, value in ranked]


async def _in_batch(name: str, served: Served | RefusedError) -> InBatch:
    if isinstance(served, RefusedError):
        return InBatch(file=name, status=served.status, error=Reason(what=served.what, hint=served.hint))
    return InBatch(file=name, status=200, answer=await _predicted(served))


def _state(app: FastAPI, service: InferenceService, top: int) -> None:
    limits, loaded = service.limits, [_loaded(each) for each in service.models.values()]

    @app.get("/v1/models")
    async def models() -> Models:
        """Return what is loaded."""
        return Models(models=loaded)

    @app.get("/health")
    async def health() -> Health:
        """Return what is loaded, and the limits."""
        told = LimitsTold(
            body_bytes=limits.body, pixels=limits.pixels, images=MOST_FILES, waiting=limits.waiting
        )
        return Health(status="ok", models=loaded, top=top, limits=told, version=clearsight_version())

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """Return the figures that Prometheus reads."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _loaded(model: Model) -> Loaded:
    deployed = model.deployed
    return Loaded(
        model=model.name,
        name=deployed.name,
        chain=deployed.chain,
        variant=deployed.variant,
        providers=list(model.session.providers),
        config_key=deployed.config_key,
        gives=[each for each in ("logits", "image", *BESIDE) if deployed.output(each) is not None],
        classes=len(deployed.classes),
        size=None if model.want.size is None else list(model.want.size),
        unrestored=None if model.unrestored is None else model.unrestored.name,
    )


def _pages(app: FastAPI) -> None:
    folder = resources.files("clearsight.pipelines.serving")
    for path, (name, kind) in PAGES.items():
        page = _always((folder / name).read_bytes(), kind)
        app.add_api_route(path, page, methods=["GET"], include_in_schema=False)


def _always(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return Response(content, media_type=kind)

    return page


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    async def senseless(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return refusal(RefusedError(422, f"{first['loc'][-1]}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> JSONResponse:
        what = {404: "no such page", 405: "the page does not take this method"}
        told = what.get(error.status_code, error.detail)
        answer = refusal(RefusedError(error.status_code, told, hint="see /docs"))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return refusal(RefusedError(500, "something went wrong on the server"))
