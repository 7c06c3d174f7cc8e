"""The images that an exported file is checked, calibrated and measured on, and how they are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.errors import AttackError, DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.corruptions.base import MINIMUM, Corruption
from clearsight.data.corruptions.defocus_blur import DefocusBlur
from clearsight.data.corruptions.gaussian_noise import GaussianNoise
from clearsight.data.sources.base import Entry, Source
from clearsight.data.sources.signs import Signs
from clearsight.defend.search.balls import usual_step
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.system import StandIn, System

LOOK = 3
"""Number of images that agreement is checked on, at every size: as many as the largest batch."""
CORRUPTIONS: tuple[Corruption, ...] = (
    GaussianNoise(severity=3, table="cifar_c"),
    DefocusBlur(severity=3, table="cifar_c"),
)
"""One that adds high frequencies and one that takes them away."""
EPS, STEPS = 8 / 255, 5
"""Radius (linf) and steps of the adversarial images."""
Array = NDArray[np.uint8]


@dataclass(frozen=True)
class SampleImages:
    """Three sets that share no image.

    Attributes:
        origin: where they come from, in words.
        own: True where they come from the config's source, so that labels and brightness fit the system.
        look: checked for agreement, at many sizes.
        calibration: for the ranges of int8.
        measured: for accuracy and PSNR.
    """

    origin: str
    own: bool
    look: tuple[Sample, ...]
    calibration: tuple[Sample, ...]
    measured: tuple[Sample, ...]

    @property
    def labelled(self) -> bool:
        """Return True where accuracy can be measured."""
        return self.own and bool(self.measured) and all(s.truth is not None for s in self.measured)

    @property
    def size(self) -> tuple[int, int] | None:
        """Return height and width where all images have the same size, else None."""
        known = {sample.image.shape[:2] for sample in (*self.look, *self.calibration, *self.measured)}
        return known.pop() if len(known) == 1 else None


def gather(source: Source | None, *, calibration: int = 0, measured: int = 0) -> SampleImages:
    """Read images of a source, or draw synthetic signs where there is none that can be read.

    Args:
        source: of the config.
        calibration: how many at most; where the source is too small, it shares equally with ``measured``.
        measured: how many at most.
    """
    if source is not None:
        try:
            return _split(source, calibration, measured, own=True)
        except DataError as error:
            reason = f" (the config's images cannot be read: {error})"
            return _split(_signs(measured), 0, measured, own=False, note=reason)
    return _split(_signs(measured), 0, measured, own=False)


def _signs(measured: int) -> Source:
    return Signs(count=LOOK + max(measured, 1))


def _split(source: Source, calibration: int, measured: int, *, own: bool, note: str = "") -> SampleImages:
    # Sources are often sorted by class; the order of a hash mixes them, the same on every machine.
    entries = sorted(source.index().entries, key=lambda entry: Rng(0).at("deploy", entry.id).digest())
    look, rest = _read(source, entries, LOOK)
    if not look:
        raise DataError("none of its images can be read", where="data")
    if len(rest) < calibration + measured:
        calibration = min(calibration, len(rest) // 2)
    learned, rest = _read(source, rest, calibration)
    tested, _ = _read(source, rest, measured)
    origin = f"{source.model_dump()['kind']}: {len(entries)} images{note}"
    if not own:
        origin = f"synthetic signs{note}"
    return SampleImages(origin, own, look, learned, tested)


def _read(source: Source, entries: Sequence[Entry], count: int) -> tuple[tuple[Sample, ...], list[Entry]]:
    """Return up to ``count`` images that can be read, and the entries that were not looked at."""
    samples: list[Sample] = []
    left = list(entries)
    while left and len(samples) < count:
        wanted = count - len(samples)
        samples += [s for s in source.read(left[:wanted]) if isinstance(s, Sample)]
        left = left[wanted:]
    return tuple(samples), left


def corrupted(sample: Sample, corruption: Corruption) -> Sample:
    """Return an image corrupted by its own random stream; one that is too small is enlarged for it."""
    height, width = sample.image.shape[:2]
    image = sample.image
    if min(height, width) < MINIMUM:
        image = resized(image, max(height, MINIMUM), max(width, MINIMUM))
    changed = corruption(image, Rng(0).at("deploy", sample.id))
    return Sample(sample.id, resized(changed, height, width), sample.truth)


def resized(image: Array, height: int, width: int) -> Array:
    """Return an image stretched to a size."""
    if image.shape[:2] == (height, width):
        return image
    out = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(out, np.uint8).reshape(height, width, image.shape[2])


def batch(samples: Sequence[Sample], channels: int) -> Tensor:
    """Return images of one size as float32 (n, channels, h, w) in [0, 1]."""
    return to_tensor([_with_channels(sample.image, channels) for sample in samples])


def _with_channels(image: Array, channels: int) -> Array:
    if image.shape[2] == channels:
        return image
    if channels == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, None]
    return np.repeat(image, 3, axis=2)


def at_size(samples: Sequence[Sample], height: int, width: int) -> tuple[Sample, ...]:
    """Return images stretched to a size."""
    return tuple(Sample(s.id, resized(s.image, height, width), s.truth) for s in samples)


def adversarial(system: System, x: Tensor) -> tuple[Tensor, str]:
    """Return images perturbed by an attack on the whole system, and a description of the attack.

    Projected gradient ascent (Madry et al. 2018) on the cross-entropy of the system's own classes, or on the
    squared change of its image where it has no classifier. It does not stop at the first success: images
    on the decision boundary would test rounding, not the export.

    Args:
        system: the torch module.
        x: (n, c, h, w) in [0, 1].
    """
    draw = torch.rand(x.shape, generator=Rng(0).at("deploy", "adversarial", *x.shape).torch())
    moved = (x + EPS * (2.0 * draw - 1.0)).clamp(0.0, 1.0)
    try:
        stand_ins = find_path(system, x).stand_ins
    except AttackError as error:
        return moved, f"random within {EPS:.4f}, for there is no gradient: {error}"
    for parameter in system.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        first = system(x)
    for _ in range(STEPS):
        gradient = _gradient(system, moved, first, stand_ins)
        moved = moved + usual_step(EPS, STEPS) * gradient.nan_to_num(0.0, 0.0, 0.0).sign()
        moved = (x + (moved - x).clamp(-EPS, EPS)).clamp(0.0, 1.0)
    return moved, f"{STEPS} steps of PGD through the system, linf {EPS:.4f}"


def _gradient(system: System, x: Tensor, first: Tensor, stand_ins: Mapping[str, StandIn]) -> Tensor:
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        out = system.trace(leaf, stand_ins=stand_ins)[system.graph.steps[-1].name]
        if out.ndim == 2:
            loss = functional.cross_entropy(out, first.argmax(1), reduction="sum")
        else:
            loss = (out - first).square().sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient
