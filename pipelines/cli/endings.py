"""How commands end: what a user can fix is one clear line and a non-zero exit."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from clearsight.data.contract.errors import ClearsightError, ConfigError
from clearsight.data.contract.text import shown, shown_lines

FULL = frozenset(
    {
        *("albumentations", "cv2", "jaxtyping", "jinja2", "kornia", "matplotlib", "onnx", "onnxruntime"),
        *("onnxscript", "pyarrow", "safetensors", "scipy", "skimage", "tifffile", "torch"),
    }
)
"""What a machine that only runs exported files lacks, by import name (docs/deploy.md)."""


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not KeyboardInterrupt, for which typer would exit by itself."""


def _stop(number: int, frame: object) -> None:
    raise _Stopped


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Let errors, SIGINT and SIGTERM in this context end the process with one line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        yield
    except ClearsightError as error:
        sys.stderr.write(f"error: {shown_lines(str(error))}\n")
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in FULL:
            raise
        wanted = "opencv-python-headless" if package == "cv2" else "clearsight, with its dependencies"
        sys.stderr.write(f"error: this command needs {package}; pip install {wanted}\n")
        raise SystemExit(2) from None
    except OSError as error:
        # A disk that fills up, a folder that is deleted: what no command could know before it began.
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {shown(where)}{error.strerror or shown(str(error))}\n")
        raise SystemExit(1) from None
    except _Stopped:
        sys.stderr.write("stopped; run the same command again to go on\n")
        if "clearsight.data.onnx_run" in sys.modules:
            from clearsight.data.onnx_run import stuck

            if stuck():
                # An operator is still running: a normal exit would tear down memory that it uses.
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(130)
        raise SystemExit(130) from None
