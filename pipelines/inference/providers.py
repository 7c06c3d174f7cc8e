"""Opens an ONNX file with onnxruntime on the requested provider, or on the next best, without log noise."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.cores import usable_cores
from clearsight.data.onnx_errors import by_onnxruntime, plain_errors
from clearsight.data.onnx_run import beside

if TYPE_CHECKING:
    import onnxruntime as ort

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
NAMES = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}
ORDER = {
    "auto": (CUDA, CPU),
    "cpu": (CPU,),
    "cuda": (CUDA, CPU),
    "tensorrt": (TENSORRT, CUDA, CPU),
}
"""Providers tried for each choice, in order. TensorRT takes minutes to build engines: only on request."""
OPTIONS: dict[str, dict[str, str]] = {
    # The default benchmarks every algorithm again for each new image size.
    CUDA: {"cudnn_conv_algo_search": "HEURISTIC"},
    TENSORRT: {},
    CPU: {},
}
QUIET = 4
"""Only fatal errors are logged; others arrive as exceptions."""


def check_provider(name: str) -> None:
    """Refuse unknown names of providers.

    Raises:
        ConfigError: the name is unknown; the hint lists the known ones.
    """
    if name not in ORDER:
        raise ConfigError(f"unknown provider '{name}'", where="--provider", hint=near_miss(name, ORDER))


def short_name(provider: str) -> str:
    """Return what a user calls one of onnxruntime's providers."""
    return next((name for name, known in NAMES.items() if known == provider), provider)


def lack(wanted: str, used: str) -> str:
    """Return a remark where another provider is used than the requested one, else ''."""
    return "" if wanted in ("auto", used) else f"{wanted} is not available here"


def open_session(path: Path, provider: str, threads: int | None, *, spin: bool) -> ort.InferenceSession:
    """Open a file; where a provider is not available, the next in its order is used.

    Args:
        path: the ONNX file.
        provider: a key of `ORDER`.
        threads: most threads of one operator; None: one per core that this process may use.
        spin: whether idle threads spin for a moment before they sleep.

    Raises:
        ConfigError: an unknown provider, less than one thread, or no such file.
        WeightsError: not an ONNX file, or a damaged one.
    """
    check_provider(provider)
    if threads is not None and threads < 1:
        raise ConfigError(f"needs at least 1 thread, not {threads}", where=str(path))
    if not path.is_file():
        raise ConfigError("no such file", where=str(path), hint="write one with 'clearsight export'")
    import onnxruntime as ort

    ort.set_default_logger_severity(QUIET)
    there = ort.get_available_providers()
    left = [name for name in ORDER[provider] if name in there]
    if left[:1] != [CPU] and _has_gpu():
        _load_libraries(ort)
    while len(left) > 1:
        try:
            return _opened(path, left, threads, spin=spin)
        except Exception as error:
            # A library of the provider is missing or too old; a bad file fails again below.
            if not by_onnxruntime(error):
                raise
            left = left[1:]
    with plain_errors(path, "onnxruntime cannot open it", "is it a whole ONNX file?"):
        return _opened(path, left, threads, spin=spin)


def _opened(path: Path, providers: list[str], threads: int | None, *, spin: bool) -> ort.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    # onnxruntime keeps a memory plan for every image size it has seen: memory would grow with each.
    options.enable_mem_pattern = False
    # Spinning takes cores from the threads that decode images: 62 s became 90 s for 120 sizes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    wanted = [(name, OPTIONS[name]) for name in providers]
    # onnxruntime's own fallback to the CPU prints to standard output.
    return beside(lambda: ort.InferenceSession(str(path), options, providers=wanted, enable_fallback=0))


def _has_gpu() -> bool:
    return os.name == "nt" or Path("/dev/nvidiactl").exists()


def _load_libraries(ort: Any) -> None:
    """Load CUDA's libraries from their wheels where these are installed."""
    load = getattr(ort, "preload_dlls", None)
    if load is not None:
        # It prints what it does not find, though the system may have it elsewhere.
        with contextlib.redirect_stdout(io.StringIO()):
            load()
