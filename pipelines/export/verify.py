"""Is the file the system? Every export is compared with the torch module before it is put into place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.contract.deployed import BESIDE, Input
from clearsight.data.contract.errors import RunError
from clearsight.data.contract.spec import kind_of
from clearsight.data.statistics import significant
from clearsight.pipelines.export.sample_images import (
    CORRUPTIONS,
    SampleImages,
    adversarial,
    at_size,
    batch,
    corrupted,
)
from clearsight.pipelines.export.wrap import Form, outputs_of
from clearsight.pipelines.systems.system import System

TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit of its image, or to 1 where that is more."""
PIXEL_TOLERANCE = 2.5e-4
"""Largest difference of a pixel, for values in [0, 1]: a sixteenth of a grey level. Networks that raise the
contrast of pale images many times do the same to rounding errors of fp32 (`clarity-small-v2`: 1.1e-4)."""
BESIDE_TOLERANCE = {"float32": 1e-3, "bool": 0.01}
"""Largest difference of a probability or a suspicion; share of yes and no that may differ: where a score lies
at its threshold, rounding decides."""
BATCHES = (1, 3)
SIZES = ((64, 64), (33, 47), (57, 96), (80, 41), (17, 23))
"""Heights and widths, three of them odd; raised to what the system takes."""
LEVEL = 1.0 / 255.0


class Runner:
    """An ONNX file in onnxruntime that takes the same input as the torch module.

    Attributes:
        taken: what the file takes.
    """

    def __init__(self, model: bytes, taken: Input) -> None:
        """Load the file on the CPU.

        Raises:
            RunError: onnxruntime refuses it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Only errors: the shape hints of symbolic sizes are noise.
        options.log_severity_level = 3
        self.taken = taken
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 (its errors have no common base)
            raise RunError(f"onnxruntime cannot load the exported file: {_line(error)}") from None

    def __call__(self, x: Tensor) -> list[NDArray[Any]]:
        """Return the outputs for float images (n, c, h, w) in [0, 1]; a file of uint8 is fed their levels.

        Raises:
            RunError: onnxruntime fails on them.
        """
        fed = x.numpy()
        if self.taken.dtype == "uint8":
            fed = np.ascontiguousarray(np.rint(fed * 255.0).astype(np.uint8).transpose(0, 2, 3, 1))
        try:
            out: list[NDArray[Any]] = self._session.run(None, {self.taken.name: fed})
        except Exception as error:  # noqa: BLE001 (its errors have no common base)
            raise RunError(f"onnxruntime fails on images {tuple(x.shape)}: {_line(error)}") from None
        return out


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


@dataclass
class Difference:
    """What was found on one kind of image.

    Attributes:
        images: how many were compared.
        logits: largest difference of a logit.
        relative: the same, relative to the largest logit of its image, or 1.
        equal: how many have the same predicted class.
        pixels: output -> largest difference of a pixel in [0, 1], less the rounding of uint8 files.
        finite: no value of either side was infinite or NaN.
        how: how the images were made; empty for clean ones.
        beside: what an output beside the logits gives -> differences: of numbers the largest of each batch,
            of yes and no every one.
    """

    images: int = 0
    logits: float = 0.0
    relative: float = 0.0
    equal: int = 0
    pixels: dict[str, float] = field(default_factory=dict)
    finite: bool = True
    how: str = ""
    beside: dict[str, list[float]] = field(default_factory=dict)

    def add(self, form: Form, computed: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> None:
        """Take in one batch."""
        self.images += len(expected[0])
        for output, values, other in zip(form.outputs, computed, expected, strict=True):
            values = values.astype(np.float64)
            if output.gives == "image" and form.input.dtype == "uint8":
                values = values.transpose(0, 3, 1, 2) * LEVEL
            if values.shape != other.shape:
                raise RunError(f"output '{output.name}' has shape {values.shape} in place of {other.shape}")
            if not (np.isfinite(values).all() and np.isfinite(other).all()):
                # A distance to such a value means nothing: this output is not compared further.
                self.finite = False
                continue
            distance = np.abs(values - other.astype(np.float64))
            if output.gives == "logits":
                self._add_logits(values, other, distance)
                continue
            if output.gives in BESIDE:
                self._add_beside(output.gives, distance)
                continue
            worst = float(distance.max()) if distance.size else 0.0
            if form.input.dtype == "uint8":
                worst = max(0.0, worst - LEVEL / 2)
            self.pixels[output.name] = max(self.pixels.get(output.name, 0.0), worst)

    def _add_beside(self, gives: str, distance: NDArray[np.float64]) -> None:
        known = self.beside.setdefault(gives, [])
        # Of numbers the largest difference, of yes and no the share that differs.
        known += [float(distance.max())] if BESIDE[gives][1] == "float32" else distance.ravel().tolist()

    def _add_logits(
        self, computed: NDArray[np.float64], expected: NDArray[Any], distance: NDArray[np.float64]
    ) -> None:
        scale = np.maximum(1.0, np.abs(expected).max(axis=1, keepdims=True))
        self.logits = max(self.logits, float(distance.max()))
        self.relative = max(self.relative, float((distance / scale).max()))
        self.equal += int((computed.argmax(1) == expected.argmax(1)).sum())

    def agrees(self, form: Form) -> bool:
        """Return True where everything is within the tolerance and every prediction is the same."""
        same = self.equal == self.images or all(each.gives != "logits" for each in form.outputs)
        worst = max(self.pixels.values(), default=0.0)
        near = all(value <= BESIDE_TOLERANCE[BESIDE[name][1]] for name, value in self.differences().items())
        return self.finite and same and self.relative <= TOLERANCE and worst <= PIXEL_TOLERANCE and near

    def differences(self) -> dict[str, float]:
        """Return, for each output beside the logits, the largest difference, or the share that differs."""
        return {
            name: max(values) if BESIDE[name][1] == "float32" else sum(values) / len(values)
            for name, values in self.beside.items()
        }

    def to_json(self, form: Form) -> dict[str, Any]:
        """Return this as plain data."""
        out: dict[str, Any] = {"images": self.images, "finite": self.finite}
        if any(each.gives == "logits" for each in form.outputs):
            out |= {
                "largest_logit_difference": _finite(self.logits),
                "relative_to_largest_logit": _finite(self.relative),
                "equal_predictions": self.equal,
            }
        if self.pixels:
            out["largest_pixel_difference"] = {name: _finite(value) for name, value in self.pixels.items()}
        if self.beside:
            out["beside"] = {name: _finite(value) for name, value in self.differences().items()}
        return out | ({"how": self.how} if self.how else {})


def _finite(value: float) -> float | None:
    # JSON has no infinity.
    return significant(value, 3) if np.isfinite(value) else None


@dataclass(frozen=True)
class Agreement:
    """What a comparison found, for each kind of image."""

    form: Form
    sizes: tuple[tuple[int, int], ...]
    batches: tuple[int, ...]
    origin: str
    kinds: Mapping[str, Difference]

    @property
    def agrees(self) -> bool:
        """Return True where the file is the system."""
        return all(each.agrees(self.form) for each in self.kinds.values())

    @property
    def finite(self) -> bool:
        """Return True where no value was infinite or NaN."""
        return all(each.finite for each in self.kinds.values())

    def to_json(self) -> dict[str, Any]:
        """Return this as plain data."""
        return {
            "against": "the torch system on the CPU",
            "tolerance": TOLERANCE,
            "pixel_tolerance": PIXEL_TOLERANCE,
            "agrees": self.agrees,
            "sizes": [list(size) for size in self.sizes],
            "batches": list(self.batches),
            "images": self.origin,
            "kinds": {name: each.to_json(self.form) for name, each in self.kinds.items()},
        }

    def complaint(self) -> str:
        """Return the worst finding in words."""
        name, difference = next((n, e) for n, e in self.kinds.items() if not e.agrees(self.form))
        if not difference.finite:
            return f"{name} images give values that are not finite"
        faults = []
        if self._classifies:
            faults.append(
                f"a logit is {difference.logits:.2g} off ({difference.relative:.2g} of the largest)"
            )
            faults.append(f"{difference.images - difference.equal} of {difference.images} predictions differ")
        if difference.pixels:
            faults.append(f"a pixel is {max(difference.pixels.values()):.2g} off")
        faults += [
            f"{name} {'is' if BESIDE[name][1] == 'float32' else 'differs in a share of'} {value:.2g}"
            + (" off" if BESIDE[name][1] == "float32" else "")
            for name, value in difference.differences().items()
        ]
        return f"on {name} images {', '.join(faults)}"

    @property
    def _classifies(self) -> bool:
        return any(each.gives == "logits" for each in self.form.outputs)


def compare(runner: Runner, system: System, form: Form, images: SampleImages) -> Agreement:
    """Run a file and the torch system on the same images of all kinds, at all sizes and batches.

    Raises:
        RunError: the file cannot be run on some size, or its outputs have other shapes.
    """
    taken = form.input
    sizes = _sizes(taken)
    batches = BATCHES if taken.batch is None else (taken.batch,)
    kinds: dict[str, Difference] = {}
    for name, x, how in _looked_at(system, taken, images, sizes):
        fed = (x * 255.0).round() / 255.0 if taken.dtype == "uint8" else x
        with torch.no_grad():
            values = system.trace(fed)
            expected = [value.numpy() for value in outputs_of(system, form, values)]
        difference = kinds.setdefault(name, Difference(how=how))
        for count in batches:
            found = runner(fed[:count])
            difference.add(form, found, [each[:count] for each in expected])
    return Agreement(form, sizes, batches, images.origin, kinds)


def _sizes(taken: Input) -> tuple[tuple[int, int], ...]:
    if taken.height is not None and taken.width is not None:
        return ((taken.height, taken.width),)
    least = taken.minimum
    raised = [(max(height, least), max(width, least + 1)) for height, width in SIZES]
    return tuple(dict.fromkeys([*raised, (least + least % 2 + 1, least + 2)]))


def _looked_at(
    system: System, taken: Input, images: SampleImages, sizes: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, Tensor, str]]:
    """Yield kind, float images (n, c, h, w) in [0, 1], and how they were made."""
    many = [images.look[i % len(images.look)] for i in range(max(BATCHES))]
    if taken.batch is not None:
        many = [many[i % len(many)] for i in range(taken.batch)]
    for height, width in sizes:
        samples = at_size(many, height, width)
        clean = batch(samples, taken.channels)
        yield "clean", clean, ""
        for corruption in CORRUPTIONS:
            changed = [corrupted(sample, corruption) for sample in samples]
            yield kind_of(corruption), batch(changed, taken.channels), f"severity {corruption.severity}"
        moved, how = adversarial(system, clean)
        yield "adversarial", moved, how


def check(agreement: Agreement, where: str) -> None:
    """Raise `RunError` where a file does not agree with the system."""
    if not agreement.agrees:
        raise RunError(
            f"the exported file differs from the system: {agreement.complaint()} (at most {TOLERANCE:g} of "
            f"the largest logit and {PIXEL_TOLERANCE:g} of a pixel's range are allowed); nothing was written",
            where=where,
            hint="a part does not export faithfully: leave parts out one by one to find it",
        )


def check_finite(agreement: Agreement, where: str, variant: str) -> None:
    """Raise `RunError` where a converted file gives values that are not finite."""
    if not agreement.finite:
        raise RunError(
            f"{variant} fails: {agreement.complaint()}; nothing was written",
            where=where,
            hint="use --variant fp32",
        )
