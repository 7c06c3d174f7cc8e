"""`Session`: a deployed file, fed with images as numpy arrays. Needs onnxruntime and numpy only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.deployed import BESIDE, Deployed, read
from clearsight.data.contract.errors import ConfigError, RunError, ShapeError
from clearsight.data.finite import refuse_non_finite
from clearsight.data.home import expanded
from clearsight.data.media.images import to_float, to_uint8
from clearsight.data.onnx_errors import plain_errors
from clearsight.data.onnx_run import Stoppable
from clearsight.pipelines.inference.beside import Beside, beside_of
from clearsight.pipelines.inference.providers import CPU, open_session
from clearsight.pipelines.inference.trial import differs, senseless

if TYPE_CHECKING:
    import onnxruntime as ort

Images: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]]
"""uint8 (n, h, w, c), float (n, c, h, w) in [0, 1], or a list of uint8 (h, w, c) or (h, w)."""
TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}
PIXELS_A_CALL = {True: 2**18, False: 2**21}
"""On the CPU (True) and elsewhere: 64 channels at full resolution are 64 MB per layer for 2^18 pixels."""
MOST_A_CALL = {True: 64, False: 256}


@dataclass(frozen=True)
class Predictions:
    """Predictions of a classifier for n images.

    Attributes:
        labels: int64 (n,), index of the likeliest class.
        names: its name, one per image.
        probabilities: float32 (n, classes), rows sum to 1.
        logits: float32 (n, classes).
        classes: names of all classes, in order.
        beside: what the file says of each image beside that: conformal set, abstention, suspicion.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    classes: tuple[str, ...]
    beside: tuple[Beside, ...] = ()

    def top(self, k: int) -> list[list[tuple[str, float]]]:
        """Return the k likeliest classes of each image with their probabilities, the likeliest first."""
        order = np.argsort(-self.logits, axis=1, kind="stable")[:, :k]
        return [
            [(self.classes[at], float(row[at])) for at in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]


class Session:
    """Runs a file that ``clearsight export`` wrote.

    Attributes:
        path: the file.
        deployed: the description inside the file.
        providers: execution providers in use, in onnxruntime's order of preference.
    """

    def __init__(
        self, path: Path | str, provider: str = "auto", threads: int | None = None, *, spin: bool = False
    ) -> None:
        """Open the file.

        Args:
            path: the ONNX file.
            provider: ``auto`` (CUDA, else the CPU), ``cpu``, ``cuda`` or ``tensorrt``. An
                unavailable one is passed over without an error: see ``providers`` for those in use.
            threads: most threads of one operator; None: one per core that this process may use.
            spin: whether idle threads spin for a moment before they sleep. Single small images then take
                up to a third less time where nothing else needs the cores, and longer where decoding
                threads or another session do.

        Raises:
            ConfigError: no such file, an unknown provider, fewer than one thread, or a description that is
                missing, damaged, newer than this version or contradicts what the file gives.
            WeightsError: a damaged file, or not an ONNX file.
            RunError: it cannot compute images of the least size in its description.
        """
        self.path = expanded(path)
        session = open_session(self.path, provider, threads, spin=spin)
        where = str(self.path)
        with plain_errors(self.path, "it cannot be read", "is it a whole ONNX file?"):
            self.deployed = read(session.get_modelmeta().custom_metadata_map, where)
            _check(self.deployed, session, where)
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self._calls = Stoppable(session)
        if lie := differs(self.deployed, self._computed):
            raise ConfigError(f"its description is wrong: {lie}", where=where, hint="export it again")

    def batch(self, height: int, width: int) -> int:
        """Return how many images of a size are computed in one call."""
        if self.deployed.input.batch is not None:
            return self.deployed.input.batch
        cpu = self.providers[0] == CPU
        return max(1, min(MOST_A_CALL[cpu], PIXELS_A_CALL[cpu] // (height * width)))

    def run(self, images: Images, batch: int | None = None) -> dict[str, NDArray[Any]]:
        """Return every output by its name, as the file gives it.

        Args:
            images: images of one size.
            batch: most images in one call; None: see `batch`. Results differ by rounding at most.

        Raises:
            ShapeError: another number of channels, type, range or size than the file takes.
            DataError: an output of one of the images is not finite.
            RunError: onnxruntime cannot compute them, for lack of memory for instance.
        """
        planes = self._taken(images)
        height, width = planes.shape[1:3] if self.deployed.input.layout == "NHWC" else planes.shape[2:]
        most = self.deployed.input.batch or batch or self.batch(height, width)
        names = [output.name for output in self.deployed.outputs]
        batches: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
        for start in range(0, len(planes), most):
            part = planes[start : start + most]
            values = self._computed(_filled(part, self.deployed.input.batch))
            for name in names:
                batches[name].append(values[name][: len(part)])
        whole = {
            name: values[0] if len(values) == 1 else np.concatenate(values)
            for name, values in batches.items()
        }
        for name, value in whole.items():
            refuse_non_finite(value, f"output '{name}' is", where=str(self.path))
        return whole

    def _computed(self, planes: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return every output by its name for one batch, as the file takes it."""
        names = [each.name for each in self.deployed.outputs]
        with plain_errors(self.path, "onnxruntime cannot compute it", "smaller images or batches", RunError):
            values = self._calls.run(names, {self.deployed.input.name: planes})
        return dict(zip(names, values, strict=True))

    def stop(self) -> None:
        """Stop running calls in all threads: they and all later calls raise `RunError`."""
        self._calls.stop()

    def classify(self, images: Images, batch: int | None = None) -> Predictions:
        """Return labels and probabilities, in the order of the images; a list may hold several sizes.

        Raises:
            ConfigError: the file gives no logits.
            ShapeError: images that the file does not take.
            DataError: logits that are not finite.
            RunError: onnxruntime cannot compute them.
        """
        output = self._output("logits")
        groups = [(at, self.run(part, batch)) for at, part in _by_size(images)]
        count = sum(len(at) for at, _ in groups)
        logits = np.empty((count, groups[0][1][output].shape[1]), np.float32)
        said: dict[int, Beside] = {}
        for at, values in groups:
            logits[at] = values[output]
            said |= zip(at.tolist(), beside_of(self.deployed, values, len(at)), strict=True)
        return replace(self.predictions(logits), beside=tuple(said[at] for at in range(count)))

    def predictions(self, logits: NDArray[np.float32]) -> Predictions:
        """Return labels and probabilities for logits (n, classes).

        Raises:
            DataError: logits that are not finite.
        """
        refuse_non_finite(logits, "the logits are", where=str(self.path))
        deep = logits.astype(np.float64)
        powers = np.exp(deep - deep.max(axis=1, keepdims=True))
        probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        classes = self.deployed.classes or tuple(str(at) for at in range(logits.shape[1]))
        labels = logits.argmax(axis=1).astype(np.int64)
        return Predictions(labels, tuple(classes[at] for at in labels), probabilities, logits, classes)

    def restore(self, images: Images, batch: int | None = None) -> NDArray[Any] | list[NDArray[Any]]:
        """Return restored images in the form of ``images``: array or list, dtype and layout.

        Raises:
            ConfigError: the file gives no images.
            ShapeError: images that the file does not take.
            DataError: restored images that are not finite.
            RunError: onnxruntime cannot compute them.
        """
        output = self._output("image")
        if isinstance(images, np.ndarray):
            return self.as_given(self.run(images, batch)[output], images)
        restored: dict[int, NDArray[Any]] = {}
        for at, part in _by_size(images):
            restored |= zip(at.tolist(), self.as_given(self.run(part, batch)[output], part), strict=True)
        return [restored[at] for at in range(len(restored))]

    def as_given(self, output: NDArray[Any], images: Images) -> NDArray[Any]:
        """Return an image output of the file in the layout and dtype of the ``images`` behind it."""
        if not isinstance(images, np.ndarray) or images.dtype == np.uint8:
            planes = output.transpose(0, 3, 1, 2) if self.deployed.input.layout == "NHWC" else output
            return to_uint8(planes) if output.dtype != np.uint8 else planes.transpose(0, 2, 3, 1)
        return output.transpose(0, 3, 1, 2) if self.deployed.input.layout == "NHWC" else output

    def _output(self, gives: str) -> str:
        output = self.deployed.output(gives)
        if output is None:
            kinds = ", ".join(declared.gives for declared in self.deployed.outputs)
            raise ConfigError(f"it gives no {gives}, only: {kinds}", where=str(self.path))
        return output.name

    def _taken(self, images: Images) -> NDArray[Any]:
        """Return images in the layout and type of the file."""
        described, where = self.deployed.input, str(self.path)
        batch = images if isinstance(images, np.ndarray) else _stacked(images, where)
        deep = batch.dtype != np.uint8
        if batch.ndim != 4 or (deep and not np.issubdtype(batch.dtype, np.floating)):
            raise ShapeError(
                f"takes uint8 (n, h, w, c) or float (n, c, h, w), got {batch.dtype} {batch.shape}",
                where=where,
                hint="put a single image into a list",
            )
        if deep and described.dtype == "uint8":
            raise ShapeError(
                f"takes uint8 (n, h, w, c), got {batch.dtype}", where=where, hint="round to 0..255 first"
            )
        if deep and not (batch.size and batch.min() >= 0 and batch.max() <= 1):
            raise ShapeError("takes float values in [0, 1]", where=where, hint="divide by 255")
        if not deep and described.channels == 3 and batch.shape[3] == 1:
            batch = np.repeat(batch, 3, axis=3)
        self._check_size(batch.shape if deep else (len(batch), batch.shape[3], *batch.shape[1:3]))
        if deep or described.dtype == "float32":
            planes = batch.astype(np.float32, copy=False) if deep else to_float(batch)
            return np.ascontiguousarray(
                planes.transpose(0, 2, 3, 1) if described.layout == "NHWC" else planes
            )
        return np.ascontiguousarray(batch.transpose(0, 3, 1, 2) if described.layout == "NCHW" else batch)

    def _check_size(self, shape: tuple[int, ...]) -> None:
        count, channels, height, width = shape
        described, where = self.deployed.input, str(self.path)
        if count == 0:
            raise ShapeError("got no images", where=where)
        if channels != described.channels:
            raise ShapeError(f"takes {described.channels} channels, got {channels}", where=where)
        fits = described.height in (None, height) and described.width in (None, width)
        if not fits or min(height, width) < described.minimum:
            raise ShapeError(f"takes {sizes(self.deployed)}, got {width}x{height} pixels", where=where)


def sizes(deployed: Deployed) -> str:
    """Return the sizes of images that a file takes, in words."""
    described = deployed.input
    if described.height is None and described.width is None:
        return f"images from {described.minimum}x{described.minimum} pixels on"
    return f"images of {described.width or 'any'}x{described.height or 'any'} pixels only"


def _check(deployed: Deployed, session: ort.InferenceSession, where: str) -> None:
    """Compare the description of a file with its graph."""
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    wrong = senseless(deployed) or _input_wrong(deployed, inputs) or _output_wrong(deployed, outputs)
    if wrong:
        raise ConfigError(
            f"its description does not fit its graph: {wrong}", where=where, hint="export it again"
        )


def _input_wrong(deployed: Deployed, inputs: Mapping[str, Any]) -> str:
    described = deployed.input
    if list(inputs) != [described.name]:
        return f"it names input '{described.name}', the graph has: {', '.join(inputs) or 'none'}"
    node = inputs[described.name]
    shape = [described.batch, described.channels, described.height, described.width]
    if described.layout == "NHWC":
        shape = [described.batch, described.height, described.width, described.channels]
    real = [size if isinstance(size, int) else None for size in node.shape]
    if node.type != TYPES.get(described.dtype) or real != shape:
        return f"input is {node.type} {node.shape}, described as {described.dtype} {shape}"
    return ""


def _output_wrong(deployed: Deployed, outputs: Mapping[str, Any]) -> str:
    if not deployed.outputs:
        return "it names no outputs"
    if not all(name.isprintable() for name in deployed.classes):
        return "names of classes are not text"
    once = [output.gives for output in deployed.outputs if output.gives != "image"]
    if len(set(once)) < len(once):
        return f"it gives {', '.join(once)}, each of which may be there once"
    for output in deployed.outputs:
        if output.name not in outputs:
            return f"it names output '{output.name}' ({output.gives}), the graph has: {', '.join(outputs)}"
        node = outputs[output.name]
        axes = {"logits": 2, "image": 4} | {gives: axes for gives, (axes, _) in BESIDE.items()}
        if len(node.shape) != axes[output.gives]:
            return f"output '{output.name}' is described as {output.gives}, but has shape {node.shape}"
        count = node.shape[-1]
        if (
            output.gives == "logits"
            and deployed.classes
            and isinstance(count, int)
            and count != len(deployed.classes)
        ):
            return f"{len(deployed.classes)} classes are named, output '{output.name}' has {count}"
    return ""


def _stacked(images: Sequence[NDArray[Any]], where: str) -> NDArray[Any]:
    layers = [image[:, :, None] if image.ndim == 2 else image for image in images]
    shapes = {(image.shape, image.dtype) for image in layers}
    if len(shapes) != 1 or any(image.ndim != 3 or image.dtype != np.uint8 for image in layers):
        got = ", ".join(sorted(f"{kind} {shape}" for shape, kind in shapes)) or "nothing"
        raise ShapeError(f"takes a list of uint8 (h, w, c) of one size, got {got}", where=where)
    return np.stack(layers)


def _by_size(images: Images) -> Iterator[tuple[NDArray[np.int64], Images]]:
    """Yield groups of images of one size, each with the indices of its images."""
    if isinstance(images, np.ndarray) or not images:
        yield np.arange(len(images)), images
        return
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for at, image in enumerate(images):
        groups[image.shape].append(at)
    for places in groups.values():
        yield np.array(places), [images[at] for at in places]


def _filled(planes: NDArray[Any], fixed: int | None) -> NDArray[Any]:
    """Pad the last batch with copies of its last image where the file has a fixed batch size."""
    if fixed is None or len(planes) == fixed:
        return planes
    return np.concatenate([planes, np.repeat(planes[-1:], fixed - len(planes), axis=0)])
