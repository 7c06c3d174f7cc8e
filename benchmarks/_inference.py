"""The contestants of `inference.py`: one system in torch, in onnxruntime and in OpenCV."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import DataError, RunError
from clearsight.data.sources.base import Source
from clearsight.data.sources.signs import Signs
from clearsight.data.weights import find
from clearsight.pipelines.config.registries import PARTS
from clearsight.pipelines.export.export import OPSET, traced
from clearsight.pipelines.export.quantise import int8
from clearsight.pipelines.export.sample_images import (
    CORRUPTIONS,
    SampleImages,
    at_size,
    batch,
    corrupted,
    gather,
)
from clearsight.pipelines.export.wrap import Form, form
from clearsight.pipelines.inference.providers import open_session
from clearsight.pipelines.systems.graph import Graph, chain

EAGER, LAST, COMPILED = "eager torch", "eager torch, channels last", "torch.compile"
FP32, INT8, OPENCV = "onnxruntime fp32", "onnxruntime int8", "cv2.dnn fp32"
CALIBRATION = 48
"""Images that int8 is calibrated on: enough for times; an export uses more and measures the loss."""
COMPILERS = ("c++", "g++", "clang++")

Call = Callable[[], NDArray[Any]]


@dataclass
class Subject:
    """One system to be timed.

    Attributes:
        name: what tables call it.
        graph: its description.
        images: to calibrate on and to compare outputs on.
        made: form of its files, their inputs and outputs.
        files: contestant -> ONNX file with free sizes.
    """

    name: str
    graph: Graph
    images: SampleImages
    made: Form
    files: Mapping[str, Path] = field(default_factory=dict)


def part(weights: str) -> Any:
    """Return the part that shipped weights belong to."""
    return PARTS.parse({"kind": find(weights).card["spec"]["kind"], "weights": weights})


def subjects(denoiser: str, classifier: str) -> dict[str, tuple[str, Graph]]:
    """Return word -> (name, graph) of the systems that can be asked for."""
    first, second = part(denoiser), part(classifier)
    return {
        "chain": (f"{denoiser} + {classifier}", chain(first, second)),
        "denoiser": (f"{denoiser} alone", chain(first)),
        "classifier": (f"{classifier} alone", chain(second)),
    }


def source_of(classifier: str) -> tuple[Source, str]:
    """Return images like those that the classifier was trained on, and a note about them."""
    told = find(classifier).card.get("data", {}).get("source")
    if isinstance(told, dict):
        try:
            source: Source = SOURCES.parse(told)
            source.index()
        except DataError as error:
            return Signs(), f"synthetic signs, for the classifier's own images are not here: {error}"
        return source, ""
    return Signs(), "synthetic signs"


def prepare(name: str, graph: Graph, source: Source, folder: Path) -> Subject:
    """Export a system as fp32 and int8 files."""
    system = graph.build()
    made = form(system, (), uint8=False, where=name)
    images = gather(source, calibration=CALIBRATION, measured=8)
    model = traced(system, made, OPSET, name)
    files = {FP32: model, INT8: int8(model, made, images.calibration, "minmax")}
    paths = {}
    for key, content in files.items():
        paths[key] = folder / f"{name}-{key}.onnx".replace(" ", "-")
        paths[key].write_bytes(content)
    return Subject(name, graph, images, made, paths)


def noisy_images(images: SampleImages, channels: int, side: int, count: int) -> Tensor:
    """Return (count, channels, side, side) in [0, 1]: images resized to a size, half of them with noise."""
    known = images.measured or images.look
    chosen = [known[i % len(known)] for i in range(count)]
    shown = at_size(chosen, side, side)
    noise = CORRUPTIONS[0]
    return batch([corrupted(each, noise) if i % 2 == 0 else each for i, each in enumerate(shown)], channels)


@dataclass
class Ready:
    """A contestant for one shape.

    Attributes:
        run: maps images (n, c, h, w) of that shape to the output.
        prepared: turns images into the form that ``run`` takes, once and untimed.
    """

    run: Callable[[Any], Any]
    prepared: Callable[[Tensor], Any]

    def call(self, x: Tensor) -> Call:
        """Return what is timed."""
        given = self.prepared(x)
        return lambda: _array(self.run(given))


def _array(value: Any) -> NDArray[Any]:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def contestants(
    subject: Subject, shape: tuple[int, int, int, int], threads: int, note: Callable[[str], None]
) -> dict[str, Ready]:
    """Return who can run images of a shape; the others are noted with their reason."""
    found = _eager(subject.graph)
    for name, path in subject.files.items():
        found[name] = _onnxruntime(path, threads)
    makers: dict[str, Callable[[], Ready]] = {
        COMPILED: lambda: _compiled(subject.graph, shape),
        OPENCV: lambda: _opencv(subject, shape, threads),
    }
    for name, make in makers.items():
        try:
            found[name] = make()
        except RunError as error:
            note(f"{name} at {shape[3]}x{shape[2]}, batch {shape[0]}: {error.what}")
    return found


def _eager(graph: Graph) -> dict[str, Ready]:
    plain, last = graph.build(), graph.build().to(memory_format=torch.channels_last)
    return {
        EAGER: Ready(_inferring(plain), lambda x: x),
        LAST: Ready(_inferring(last), lambda x: x.contiguous(memory_format=torch.channels_last)),
    }


def _inferring(system: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return system(x)

    return run


def has_compiler() -> bool:
    """Return True where inductor finds a C++ compiler."""
    return bool(os.environ.get("CXX")) or any(shutil.which(name) for name in COMPILERS)


def _compiled(graph: Graph, shape: tuple[int, int, int, int]) -> Ready:
    """Compile for one fixed shape, which is the fastest way.

    Raises:
        RunError: there is no compiler, or it cannot compile the system.
    """
    if not has_compiler():
        raise RunError(f"there is no C++ compiler ({', '.join(COMPILERS)})")
    torch._dynamo.reset()
    ready = Ready(_inferring(torch.compile(graph.build(), dynamic=False)), lambda x: x)
    try:
        ready.call(torch.full(shape, 0.5))()
    except Exception as error:  # noqa: BLE001 (torch raises of every kind here)
        raise RunError(f"torch cannot compile it: {line(error)}") from None
    return ready


def _onnxruntime(path: Path, threads: int) -> Ready:
    session = open_session(path, "cpu", threads, spin=False)
    name = session.get_inputs()[0].name
    return Ready(lambda x: session.run(None, {name: x})[0], lambda x: x.numpy())


def _opencv(subject: Subject, shape: tuple[int, int, int, int], threads: int) -> Ready:
    """Open an export of fixed sizes in OpenCV.

    Raises:
        RunError: OpenCV refuses it; the message quotes its reason.
    """
    import cv2

    count, _, height, width = shape
    taken = replace(subject.made.input, batch=count, height=height, width=width)
    fixed = replace(subject.made, input=taken)
    # The operators rewritten for onnxruntime fail an assertion in OpenCV 5.0's convolutions.
    model = traced(subject.graph.build(), fixed, OPSET, subject.name, lower=False)
    cv2.setNumThreads(threads)
    try:
        network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))

        def run(x: NDArray[np.float32]) -> Any:
            network.setInput(x)
            return network.forward().copy()

        run(np.full(shape, 0.5, np.float32))
    except cv2.error as error:
        raise RunError(f"OpenCV {cv2.__version__} refuses it: {line(error)}") from None
    return Ready(run, lambda x: x.numpy())


def line(error: Exception) -> str:
    """Return an error in one line, its own words first."""
    words = [word.strip() for word in str(error).splitlines() if word.strip()]
    return (words[0] if words else type(error).__name__)[:300]
