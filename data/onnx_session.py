"""`OnnxSession`: a classifier in an ONNX file as a torch module without parameters or gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.contract.errors import ConfigError, ShapeError, WeightsError

if TYPE_CHECKING:
    import onnxruntime as ort

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxSession(nn.Module):
    """Runs one input and one output of an ONNX file with onnxruntime.

    Attributes:
        classes: number of logits that the file declares, None where it leaves that open.
        provider: execution provider that onnxruntime really gave.
    """

    def __init__(self, path: Path, *, output: str | None = None, device: str = "cpu") -> None:
        """Open the file.

        Args:
            path: the ONNX file; data files that it names lie beside it.
            output: name of the output with the logits, needed where there are several.
            device: ``cpu`` or ``cuda``.

        Raises:
            WeightsError: the file is damaged or is no ONNX model.
            ConfigError: its inputs or outputs do not fit, or the device is not to be had.
        """
        super().__init__()
        self.path = path
        self._session = _open(path, device)
        self.provider = self._session.get_providers()[0]
        if self.provider != PROVIDERS[device]:
            raise ConfigError(
                f"onnxruntime gives {self.provider}, not {PROVIDERS[device]}",
                where=str(path),
                hint="write device: cpu, or install onnxruntime-gpu and its CUDA libraries",
            )
        self._input, self._fixed = _input(self._session, path)
        self._output, self.classes = _output(self._session, output, path)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits on the device of the images; no gradient flows back.

        Raises:
            ShapeError: the file takes pictures of one size only, and these have another.
        """
        for size, fixed in zip(x.shape[2:], self._fixed[1:], strict=True):
            if fixed is not None and size != fixed:
                raise ShapeError(
                    f"takes {self._fixed[1]}x{self._fixed[2]} pixels, got {x.shape[2]}x{x.shape[3]}",
                    where=str(self.path),
                    hint="resize the pictures (data: {size: ...}), or export with dynamic height and width",
                )
        images = np.ascontiguousarray(x.detach().cpu().numpy(), dtype=np.float32)
        logits = np.concatenate([self._run(batch)[:n] for batch, n in _batches(images, self._fixed[0])])
        return torch.from_numpy(logits.astype(np.float32, copy=False)).to(x.device)

    def _run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        with _plain(self.path, "onnxruntime cannot run it on these images"):
            logits: NDArray[np.float32] = self._session.run([self._output], {self._input: images})[0]
        return logits


def _open(path: Path, device: str) -> ort.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    # One thread each: sums are then added in the same order on every machine.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = list(dict.fromkeys((PROVIDERS[device], PROVIDERS["cpu"])))
    with _plain(path, "onnxruntime cannot open it"):
        return ort.InferenceSession(str(path), options, providers=providers)


@contextlib.contextmanager
def _plain(path: Path, what: str) -> Iterator[None]:
    """Turn onnxruntime's errors, which share no base class, into one plain line."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).splitlines()[0].rpartition(" : ")[2]
        raise WeightsError(f"{what}: {reason}", where=str(path), hint="is it a whole ONNX file?") from error


def _input(
    session: ort.InferenceSession, path: Path
) -> tuple[str, tuple[int | None, int | None, int | None]]:
    """Return the name of the only input, and its fixed batch size, height and width (None where free)."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs) or "none"
        raise ConfigError(f"a classifier takes one input, the file has: {names}", where=str(path))
    shape, kind = inputs[0].shape, inputs[0].type
    if len(shape) != 4 or kind != "tensor(float)" or (isinstance(shape[1], int) and shape[1] != 3):
        raise ConfigError(
            f"input '{inputs[0].name}' is {kind} {shape}, not float RGB images (n, 3, h, w)",
            where=str(path),
            hint="export it with channels first and float32 input",
        )
    batch, _, height, width = (size if isinstance(size, int) else None for size in shape)
    return inputs[0].name, (batch, height, width)


def _output(session: ort.InferenceSession, wanted: str | None, path: Path) -> tuple[str, int | None]:
    """Return the name of the output with the logits, and how many it declares."""
    outputs = {item.name: item for item in session.get_outputs()}
    names = ", ".join(outputs)
    if wanted is None and len(outputs) != 1:
        raise ConfigError(
            f"it has several outputs: {names}", where=str(path), hint="choose one: output: NAME"
        )
    name = wanted if wanted is not None else next(iter(outputs))
    if name not in outputs:
        raise ConfigError(f"it has no output '{name}'", where=str(path), hint=f"known: {names}")
    shape = outputs[name].shape
    if len(shape) != 2:
        raise ConfigError(f"output '{name}' has shape {shape}, not logits (n, classes)", where=str(path))
    return name, shape[1] if isinstance(shape[1], int) else None


def _batches(images: NDArray[np.float32], fixed: int | None) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield batches of the size that the file takes, the last one filled up, and how many pictures count."""
    if fixed is None:
        yield images, len(images)
        return
    for start in range(0, len(images), fixed):
        batch = images[start : start + fixed]
        missing = fixed - len(batch)
        yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]), len(batch)
