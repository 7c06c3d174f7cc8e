"""``clearsight serve``: deployed files that answer over HTTP."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.text import shown
from clearsight.pipelines.inference.providers import check_provider, lack, short_name
from clearsight.pipelines.serving.limits import Limits

if TYPE_CHECKING:
    from clearsight.pipelines.inference.session import Session

__all__ = ["Limits", "command"]

EXTRA = ("fastapi", "starlette", "uvicorn", "h11", "prometheus_client", "pydantic")


def command(
    files: Sequence[Path],
    host: str,
    port: int,
    limits: Limits,
    *,
    top: int,
    size: int | None,
    provider: str,
    threads: int | None,
    quiet: bool,
) -> None:
    """Serve deployed files until a signal stops it.

    Raises:
        ConfigError: the extra is not installed, the address cannot be used, or one of the files cannot.
    """
    check_provider(provider)
    try:
        from clearsight.pipelines.serving.app import create_app
        from clearsight.pipelines.serving.server import is_local, listening, server, url
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise ConfigError(
            f"needs {error.name}", where="serve", hint="pip install clearsight[serve]"
        ) from None
    from PIL import Image

    from clearsight.pipelines.inference.session import Session
    from clearsight.pipelines.serving.middleware import LOCAL
    from clearsight.pipelines.serving.models import models
    from clearsight.pipelines.serving.service import InferenceService

    # The server limits pixels itself before anything is decoded.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    served = models([Session(file, provider, threads) for file in files], size)
    service = InferenceService(served, limits)
    try:
        with listening(host, port) as made:
            local = is_local(made)
            if not local:
                sys.stderr.write(
                    "warning: other machines reach this server, and it does not ask who they are\n"
                )
            names = ", ".join(shown(each.name) for each in served)
            place = _place(service.default.session, provider)
            sys.stderr.write(f"serving {names} ({place}) on {url(made)}\n")
            sys.stderr.flush()
            running = server(create_app(service, top, LOCAL if local else ()), limits.waiting)
            running.run(sockets=[made])
        if not quiet:
            sys.stderr.write("stopped\n")
    finally:
        if not service.close():
            # A normal exit would wait for the thread of an operator that is still running.
            sys.stderr.write("the image being computed was abandoned\n")
            sys.stderr.flush()
            os._exit(1)


def _place(session: Session, wanted: str) -> str:
    """Return the provider that computes, with a note if another was requested."""
    place = short_name(session.providers[0])
    missing = lack(wanted, place)
    return f"{place}, {missing}" if missing else place
