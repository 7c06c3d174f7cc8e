"""The application: its endpoints, its pages and its errors."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from clearsight.data.contract.deployed import BESIDE
from clearsight.pipelines.runs.versions import clearsight_version
from clearsight.pipelines.serving.answers import Failure, Health, LimitsTold, Predicted, Prediction
from clearsight.pipelines.serving.bodies import body, left
from clearsight.pipelines.serving.limits import RefusedError
from clearsight.pipelines.serving.metrics import CONTENT_TYPE
from clearsight.pipelines.serving.middleware import PLACE, Middleware, refusal
from clearsight.pipelines.serving.service import InferenceService, Served

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
FAILURES: dict[int | str, dict[str, Any]] = {
    408: {"model": Failure, "description": "The body came too slowly."},
    413: {"model": Failure, "description": "The body or the image is too large."},
    422: {"model": Failure, "description": "The image cannot be used, or a parameter makes no sense."},
    500: {"model": Failure, "description": "The image could not be computed."},
    503: {"model": Failure, "description": "Too much to do; see the header Retry-After."},
}
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "One line per figure.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
NO_IMAGES: dict[int | str, dict[str, Any]] = {
    404: {"model": Failure, "description": "The file gives no images."}
}
IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The restored image.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def create_app(service: InferenceService, top: int, hosts: Collection[str] = ()) -> Middleware:
    """Return the application for one deployed file.

    Args:
        service: what computes the answers.
        top: classes in an answer where a request names no number.
        hosts: host names that requests may use for the server; empty: any.
    """
    app = FastAPI(
        title="clearsight",
        description=f"Labels and restored images from {service.session.deployed.name}.",
        version=clearsight_version(),
        # FastAPI's own pages load their scripts from another site.
        docs_url=None,
        redoc_url=None,
    )
    _work(app, service, top)
    _state(app, service, top)
    _pages(app)
    _errors(app)
    known = {*PAGES, "/openapi.json", "/health", "/metrics", "/v1/predict", "/v1/restore"}
    return Middleware(app, service, hosts, known)


def _work(app: FastAPI, service: InferenceService, top: int) -> None:
    gives_image = service.session.deployed.output("image") is not None

    @app.post("/v1/predict", responses=FAILURES, openapi_extra=IMAGE_BODY, response_model_exclude_none=True)
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, le=10_000, description="Most classes.")] = top,
        restored: Annotated[bool, Query(description="Give the restored image too.")] = False,
    ) -> Predicted:
        """Classify an image."""
        served = await _served(request, service, top=top, image=restored and gives_image)
        png = None
        if served.png is not None:
            png = (await asyncio.to_thread(base64.b64encode, served.png)).decode()
        return Predicted(
            predictions=[Prediction(label=label, probability=value) for label, value in served.ranked],
            width=served.width,
            height=served.height,
            notes=list(served.notes),
            set=None if served.beside.set is None else list(served.beside.set),
            abstains=served.beside.abstains,
            suspicion=served.beside.suspicion,
            alarm=served.beside.alarm,
            restored=png,
        )

    @app.post(
        "/v1/restore",
        responses=IMAGE | FAILURES | NO_IMAGES,
        openapi_extra=IMAGE_BODY,
        response_class=Response,
    )
    async def restore(request: Request) -> Response:
        """Restore an image; the answer is a PNG file."""
        if not gives_image:
            raise RefusedError(404, "the file gives no images", hint="export it with --taps")
        served = await _served(request, service, top=1, image=True)
        return Response(served.png, media_type="image/png")


async def _served(request: Request, service: InferenceService, *, top: int, image: bool) -> Served:
    async with body(request, service) as data:
        request.scope[PLACE].take()
        gone = asyncio.ensure_future(left(request))
        try:
            return await service.serve(data, gone, top=top, image=image)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


def _state(app: FastAPI, service: InferenceService, top: int) -> None:
    deployed, limits = service.session.deployed, service.limits

    @app.get("/health")
    async def health() -> Health:
        """Return what is loaded."""
        return Health(
            status="ok",
            name=deployed.name,
            chain=deployed.chain,
            variant=deployed.variant,
            providers=list(service.session.providers),
            config_key=deployed.config_key,
            gives=[each for each in ("logits", "image", *BESIDE) if deployed.output(each) is not None],
            classes=len(deployed.classes),
            size=None if service.want.size is None else list(service.want.size),
            top=top,
            limits=LimitsTold(body_bytes=limits.body, pixels=limits.pixels, waiting=limits.waiting),
            version=clearsight_version(),
        )

    @app.get("/metrics", response_class=Response, responses=TEXT)
    async def metrics() -> Response:
        """Return the figures that Prometheus reads."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _pages(app: FastAPI) -> None:
    folder = files("clearsight.pipelines.serving")
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
