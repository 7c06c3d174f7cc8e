"""`OnnxNetwork`: one output of an ONNX file as a torch module without parameters or gradients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clearsight.data.contract.deployed import KEY, Deployed, Input, read
from clearsight.data.contract.errors import ConfigError, ShapeError
from clearsight.data.contract.spec import Flow
from clearsight.data.onnx_errors import plain_errors
from clearsight.data.onnx_run import Stoppable, beside

if TYPE_CHECKING:
    import onnxruntime as ort

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
TYPES: dict[str, Literal["float32", "uint8"]] = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}
LOGITS = "logits"
"""What `clearsight export` calls its logits."""
RANKS = {Flow.LOGITS: 2, Flow.IMAGES: 4, Flow.BOXES: 3}
FORMS = {
    Flow.LOGITS: "logits (n, classes)",
    Flow.IMAGES: "images (n, 3, h, w)",
    Flow.BOXES: "raw detections (n, places, numbers)",
}

HINT = "is it a whole ONNX file?"


class OnnxNetwork(nn.Module):
    """Runs the one input and one output of an ONNX file with onnxruntime.

    Attributes:
        provider: execution provider that onnxruntime really gave.
        input: what the file takes; of files that ``clearsight export`` did not write, as far as their
            graph says it.
        deployed: what such a file says of itself, None for others.
        classes: number of logits that the file declares, None where it leaves that open.
    """

    def __init__(self, path: Path, gives: Flow, *, output: str | None = None, device: str = "cpu") -> None:
        """Open the file.

        Args:
            path: the ONNX file; data files that it names lie beside it.
            gives: what is asked for: logits (n, classes) or images (n, c, h, w).
            output: name of the output, needed where the file gives several of this form.
            device: ``cpu`` or ``cuda``.

        Raises:
            WeightsError: the file is damaged or is no ONNX model.
            ConfigError: its inputs or outputs do not fit, or the device is not to be had.
        """
        super().__init__()
        self.path = path
        session = _open(path, device)
        self._calls = Stoppable(session)
        self.provider = session.get_providers()[0]
        if self.provider != PROVIDERS[device]:
            raise ConfigError(
                f"onnxruntime gives {self.provider}, not {PROVIDERS[device]}",
                where=str(path),
                hint="write device: cpu, or install onnxruntime-gpu and its CUDA libraries",
            )
        self._gives = gives
        with plain_errors(path, "it cannot be read", HINT):
            metadata = session.get_modelmeta().custom_metadata_map
            self.deployed: Deployed | None = read(metadata, str(path)) if KEY in metadata else None
            self.input = _input(session, path, self.deployed)
            self._output, shape = _output(session, gives, output, path)
        self.classes = shape[1] if gives is Flow.LOGITS and isinstance(shape[1], int) else None

    def forward(self, x: Tensor) -> Tensor:
        """Return logits or images on the device of the images; no gradient flows back.

        A file that takes uint8 gets the images rounded to 256 levels, as it will once deployed.

        Args:
            x: (n, c, h, w) with values in [0, 1], unless the file expects otherwise normalised ones.

        Raises:
            ShapeError: the file takes images of one size only, and these have another.
        """
        self._check(x)
        images = x.detach().cpu().numpy().astype(np.float32, copy=False)
        if self.input.dtype == "uint8":
            images = np.rint(images * np.float32(255)).clip(0, 255).astype(np.uint8)
        if self.input.layout == "NHWC":
            images = images.transpose(0, 2, 3, 1)
        taken = np.ascontiguousarray(images)
        output = np.concatenate([self._run(batch)[:n] for batch, n in _batches(taken, self.input.batch)])
        if self._gives is Flow.IMAGES:
            output = output.transpose(0, 3, 1, 2) if self.input.layout == "NHWC" else output
            output = output / np.float32(255) if output.dtype == np.uint8 else output
        return torch.from_numpy(np.ascontiguousarray(output, dtype=np.float32)).to(x.device)

    def _check(self, x: Tensor) -> None:
        channels, height, width = x.shape[1:]
        taken = self.input
        if taken.height not in (None, height) or taken.width not in (None, width):
            raise ShapeError(
                f"takes {taken.height or 'any'}x{taken.width or 'any'} pixels, got {height}x{width}",
                where=str(self.path),
                hint="resize the images (data: {size: ...}), or export with dynamic height and width",
            )
        if channels != taken.channels or min(height, width) < taken.minimum:
            raise ShapeError(
                f"takes {taken.channels} channels from {taken.minimum}x{taken.minimum} pixels on,"
                f" got {channels} of {height}x{width}",
                where=str(self.path),
            )

    def _run(self, images: NDArray[Any]) -> NDArray[Any]:
        with plain_errors(self.path, "onnxruntime cannot run it on these images", HINT):
            return self._calls.run([self._output], {self.input.name: images})[0]


def _open(path: Path, device: str) -> ort.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    # One thread each: sums are then added in the same order on every machine.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = list(dict.fromkeys((PROVIDERS[device], PROVIDERS["cpu"])))
    with plain_errors(path, "onnxruntime cannot open it", HINT):
        return beside(lambda: ort.InferenceSession(str(path), options, providers=providers))


def _input(session: ort.InferenceSession, path: Path, deployed: Deployed | None) -> Input:
    """Return what the only input takes: its graph decides, a description adds the least size."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs) or "none"
        raise ConfigError(f"a part takes one input, the file has: {names}", where=str(path))
    shape, kind, name = inputs[0].shape, inputs[0].type, inputs[0].name
    channels = _channels(shape) if len(shape) == 4 and kind in TYPES else None
    if channels is None:
        raise ConfigError(
            f"input '{name}' is {kind} {shape}, not images (n, 3, h, w) or (n, h, w, 3)",
            where=str(path),
            hint="export it with float32 or uint8 images as its input",
        )
    axis, count = channels
    batch, *sides = (
        size if isinstance(size, int) else None
        for size in (shape[0], *(shape[2:] if axis == 1 else shape[1:3]))
    )
    return Input(
        name=name,
        layout="NCHW" if axis == 1 else "NHWC",
        dtype=TYPES[kind],
        channels=count,
        batch=batch,
        height=sides[0],
        width=sides[1],
        minimum=deployed.input.minimum if deployed is not None else 1,
    )


def _channels(shape: list[Any]) -> tuple[int, int] | None:
    """Return the axis of the channels and their number: three, and first, where the graph leaves it open."""
    for axis in (1, 3):
        if shape[axis] in (1, 3):
            return axis, cast(int, shape[axis])
    return None if isinstance(shape[1], int) else (1, 3)


def _output(
    session: ort.InferenceSession, gives: Flow, wanted: str | None, path: Path
) -> tuple[str, list[Any]]:
    """Return the name and the shape of the output that is asked for."""
    shapes = {item.name: item.shape for item in session.get_outputs()}
    if wanted is not None and wanted not in shapes:
        raise ConfigError(f"it has no output '{wanted}'", where=str(path), hint=f"known: {', '.join(shapes)}")
    fitting = [name for name, shape in shapes.items() if len(shape) == RANKS[gives]]
    chosen = [wanted] if wanted is not None else fitting
    if wanted is None and gives is Flow.LOGITS and LOGITS in fitting:
        # Files of ``clearsight export`` may give probabilities and sets beside them.
        chosen = [LOGITS]
    if len(chosen) > 1:
        raise ConfigError(
            f"it has several outputs: {', '.join(chosen)}", where=str(path), hint="choose one: output: NAME"
        )
    if not chosen or chosen[0] not in fitting:
        found = ", ".join(f"'{name}' {shape}" for name, shape in shapes.items())
        raise ConfigError(f"it has outputs {found}, not {FORMS[gives]}", where=str(path))
    return chosen[0], shapes[chosen[0]]


def _batches(images: NDArray[Any], fixed: int | None) -> Iterator[tuple[NDArray[Any], int]]:
    """Yield batches of the size that the file takes, the last one padded, and how many images count."""
    if fixed is None:
        yield images, len(images)
        return
    for start in range(0, len(images), fixed):
        batch = images[start : start + fixed]
        missing = fixed - len(batch)
        yield np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]), len(batch)
