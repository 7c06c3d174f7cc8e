"""Files of lower precision: fp16, and int8 calibrated on images; with what that costs."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.sample import Sample
from clearsight.pipelines.export.cost import costs
from clearsight.pipelines.export.half import half, networks
from clearsight.pipelines.export.manifest import Variant
from clearsight.pipelines.export.sample_images import CORRUPTIONS, SampleImages, at_size, batch, corrupted
from clearsight.pipelines.export.verify import Runner
from clearsight.pipelines.export.wrap import Form

MOST_LOST, MOST_DB = 0.005, 0.1
"""Mean accuracy and PSNR in dB that fp16 may lose; it rounds to 11 bits, so more means that it overflows."""
QUANTISED = (
    "Conv",
    "Gemm",
    "MatMul",
    "Relu",
    "Add",
    "Concat",
    "MaxPool",
    "BatchNormalization",
)
"""Operators that run in int8: the products and what lies between them, so that nothing is dequantised there.
onnxruntime has no ConvTranspose in int8: its weights would be dequantised at every call."""
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
NARROW = 8
"""Input channels from which on a convolution is faster in int8 than in fp32."""
Method = Literal["minmax", "percentile"]
METHODS: dict[Method, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
}
PERCENTILE = 99.999
"""Share of the activations, in percent, that the range of ``percentile`` holds."""


@dataclass(frozen=True)
class Converted:
    """A converted file.

    Attributes:
        model: the file.
        findings: what it costs, for the manifest.
    """

    model: bytes
    findings: dict[str, Any]


def convert(model: bytes, variant: Variant, form: Form, images: SampleImages, where: str) -> Converted:
    """Return a file of lower precision with what it costs.

    Args:
        model: the verified fp32 file, which still has the exporter's metadata.
        variant: fp16 or int8.
        form: its inputs and outputs, which stay the same.
        images: to calibrate on and to measure with.
        where: what messages call the system.

    Raises:
        RunError: nothing in it can be converted, or fp16 loses too much.
    """
    if not networks(onnx.load_from_string(model)):
        raise RunError(f"{variant} has nothing to convert: no part is a network", where=where)
    before = Runner(model, form.input)
    if variant == "fp16":
        changed = half(model)
        cost = costs(before, Runner(changed, form.input), form, images)
        _refuse_lossy(cost, where)
        return Converted(changed, {"cost": cost})
    return _best_int8(model, before, form, images)


def _refuse_lossy(cost: dict[str, Any], where: str) -> None:
    lost, decibels = cost["lost"] or 0.0, cost["lost_db"] or 0.0
    if lost > MOST_LOST or decibels > MOST_DB:
        raise RunError(
            f"fp16 loses {100 * lost:.2f} points of accuracy and {decibels:.2f} dB (at most "
            f"{100 * MOST_LOST:g} points and {MOST_DB:g} dB are allowed); nothing was written",
            where=where,
            hint="use --variant fp32 or int8",
        )


def _best_int8(model: bytes, before: Runner, form: Form, images: SampleImages) -> Converted:
    """Return the file of the better calibration method, judged on half of the calibration images."""
    learned, judged = images.calibration[::2], images.calibration[1::2]
    trial = replace(images, measured=judged)
    scores: dict[Method, dict[str, Any]] = {}
    for method in METHODS:
        file = int8(model, form, learned, method)
        scores[method] = costs(before, Runner(file, form.input), form, trial)
    best = min(METHODS, key=lambda method: _badness(scores[method]))
    changed = int8(model, form, images.calibration, best)
    settings = {
        "format": "static QDQ, per channel",
        "ranges": best,
        "images": len(images.calibration),
        "trial": {m: {"lost": s["lost"], "lost_db": s["lost_db"]} for m, s in scores.items()},
    }
    cost = costs(before, Runner(changed, form.input), form, images)
    return Converted(changed, {"quantisation": settings, "cost": cost})


def _badness(cost: dict[str, Any]) -> tuple[float, float]:
    conditions = cost["conditions"].values()
    same = [row["same_class"]["share"] for row in conditions if "same_class" in row]
    apart = [value for row in conditions for key, value in row.items() if key.startswith("dB between")]
    # With few images, agreement of the classes says more than accuracy.
    return -float(np.mean(same or [0.0])), -float(np.mean(apart or [0.0]))


def last_steps(proto: onnx.ModelProto, inside: frozenset[str]) -> set[str]:
    """Return the nodes from each network's last product on: their rounding goes straight into the result."""
    readers: dict[str, list[str]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.name)
    results = {output.name for output in proto.graph.output}
    maker = {name: node for node in proto.graph.node for name in node.output if node.name in inside}
    pending = [
        node
        for name, node in maker.items()
        if name in results or any(reader not in inside for reader in readers.get(name, []))
    ]
    last: set[str] = set()
    while pending:
        node = pending.pop()
        if node.name in last:
            continue
        last.add(node.name)
        if node.op_type not in PRODUCTS:
            pending += [maker[name] for name in node.input if name in maker]
    return last


def _narrow(proto: onnx.ModelProto) -> set[str]:
    """Return the convolutions with so few input channels that int8 is slower than fp32."""
    channels = {
        initializer.name: initializer.dims[1]
        for initializer in proto.graph.initializer
        if len(initializer.dims) == 4
    }
    narrow = set()
    for node in proto.graph.node:
        groups = {initializer.name: initializer.i for initializer in node.attribute}.get("group", 1)
        if node.op_type == "Conv" and groups == 1 and channels.get(node.input[1], NARROW) < NARROW:
            narrow.add(node.name)
    return narrow


class _Feed(CalibrationDataReader):  # type: ignore[misc]
    """Gives the calibration one image at a time, clean and corrupted ones by turns."""

    def __init__(self, form: Form, samples: Sequence[Sample]) -> None:
        self._form = form
        self._all = list(self._fed(samples))
        self._left = iter(self._all)

    def _fed(self, samples: Sequence[Sample]) -> Iterator[NDArray[Any]]:
        taken = self._form.input
        for i, sample in enumerate(samples):
            height, width = sample.image.shape[:2]
            at = (taken.height or max(height, taken.minimum), taken.width or max(width, taken.minimum))
            (image,) = at_size([sample], *at)
            # A deployed file gets corrupted images too, whose activations have a wider range.
            kind = i % (1 + len(CORRUPTIONS))
            image = corrupted(image, CORRUPTIONS[kind - 1]) if kind else image
            x = batch([image], taken.channels).numpy()
            if taken.dtype == "uint8":
                x = np.ascontiguousarray(np.rint(x * 255).astype(np.uint8).transpose(0, 2, 3, 1))
            yield x

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next input, None at the end."""
        x = next(self._left, None)
        return None if x is None else {self._form.input.name: x}

    def rewind(self) -> None:
        """Begin again."""
        self._left = iter(self._all)


def int8(model: bytes, form: Form, samples: Sequence[Sample], method: Method) -> bytes:
    """Return a file whose networks compute in 8 bits: weights per channel, activations by calibration.

    Args:
        model: the fp32 file.
        form: what it takes.
        samples: images to calibrate on; two of every three are corrupted.
        method: how ranges are chosen from the activations.
    """
    proto = onnx.load_from_string(model)
    inside = networks(proto)
    kept = last_steps(proto, inside) | _narrow(proto)
    chosen = [
        node.name for node in proto.graph.node if node.name in inside - kept and node.op_type in QUANTISED
    ]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        # onnxruntime prints its progress.
        with TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
            out = Path(scratch) / "int8.onnx"
            quantize_static(
                proto,
                out,
                _Feed(form, samples),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # Without VNNI, products of 8 by 8 bits overflow the 16 bits that two of them are added in:
                # the default chain loses 18 points of accuracy by that on AVX2, and none with 7-bit weights.
                reduce_range=True,
                op_types_to_quantize=list(QUANTISED),
                nodes_to_quantize=chosen,
                calibrate_method=METHODS[method],
                extra_options={"CalibPercentile": PERCENTILE},
            )
            return out.read_bytes()
    finally:
        root.setLevel(level)
