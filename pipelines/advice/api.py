"""`sense_images` and `advise`: what the commands ``sense`` and ``advise`` do, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING

from clearsight.data.catalogue import images_at
from clearsight.data.contract.sample import Skipped
from clearsight.data.sources.base import Source
from clearsight.data.weights import SENSE, kind_of_weights
from clearsight.restore.catalogue import SENSES

if TYPE_CHECKING:
    from clearsight.defend.base import ClassifierSpec
    from clearsight.pipelines.advice.advise import Advice
    from clearsight.pipelines.advice.readings import Reading
    from clearsight.restore.sense import Sense


@dataclass(frozen=True)
class Sensed:
    """What is wrong with images.

    Attributes:
        readings: one an image, in the order of the source.
        skipped: images that could not be used.
        passed_over: files beside them that are not used.
    """

    readings: tuple[Reading, ...]
    skipped: tuple[Skipped, ...]
    passed_over: tuple[Skipped, ...]


def sense_images(
    images: Source | str | PathLike[str],
    *,
    weights: str = SENSE,
    take: int | None = None,
    device: str = "auto",
    on_progress: Callable[[str, int, int | None], None] | None = None,
) -> Sensed:
    """Say what is wrong with images: damage with its probability and severity, and the noise level.

    Args:
        images: a source, or the path of a file, a folder or a parquet file.
        weights: of a sense of degradation.
        take: most images; all where left out.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_progress: called with a stage, the number done and the total.

    Raises:
        DataError: there are no images, or a network gives values that are not finite.
        WeightsError: weights that are missing or damaged.
    """
    from clearsight.pipelines.advice.readings import read_images

    source = images if isinstance(images, Source) else images_at(fspath(images))
    if take is not None:
        source = source.model_copy(update={"take": take})
    index = source.index()
    sense = _sense(weights, device)
    found = list(read_images(source, index.entries, sense, on_progress or _silent))
    skipped = tuple(each for each in found if isinstance(each, Skipped))
    readings = tuple(each[1] for each in found if not isinstance(each, Skipped))
    return Sensed(readings, skipped, index.passed_over)


def advise(
    images: Source | str | PathLike[str],
    classifier: ClassifierSpec | str,
    *,
    restorers: Sequence[str] | None = None,
    weights: str = SENSE,
    take: int = 300,
    size: int | None = None,
    device: str = "auto",
    on_progress: Callable[[str, int, int | None], None] | None = None,
) -> Advice:
    """Say what is wrong with images and whether restoration would help a classifier with them.

    Args:
        images: a source, or the path of a file, a folder (with one sub-folder a class: the labels) or a
            parquet file. Labels are used where there are any.
        classifier: a part, or weights (id or folder), an ONNX file, or a kind.
        restorers: chains to try, such as ``["denoise", "denoise,deblur"]``; else those that fit the damage.
        weights: of a sense of degradation.
        take: most images, drawn evenly over the classes.
        size: resize the short side to so many pixels and cut the centre square; only where ``images`` is a
            path.
        device: where the sense looks, ``auto``, ``cpu`` or ``cuda``; chains are measured on the CPU.
        on_progress: called with a stage, the number done and the total.

    Returns:
        The verdict (``leave it alone``, ``use ...``, ``try ...``) and what it rests on.

    Raises:
        ConfigError: unknown restorers, or labels that are not the classifier's classes.
        DataError: there are no images, or a network gives values that are not finite.
        WeightsError: weights that are missing or damaged.
    """
    from clearsight.pipelines.advice.advise import advise as look_and_measure
    from clearsight.pipelines.advice.advise import classifier_of

    source = images if isinstance(images, Source) else images_at(fspath(images), size)
    spec = classifier_of(classifier) if isinstance(classifier, str) else classifier
    return look_and_measure(
        source,
        spec,
        _sense(weights, device),
        restorers=restorers,
        take=take,
        tell=on_progress or _silent,
    )


def _sense(weights: str, device: str) -> Sense:
    from clearsight.pipelines.systems.device import choose_device

    kind = kind_of_weights(weights, SENSES.kinds, refused="which senses nothing", where="weights")
    spec = SENSES.of_word({"kind": kind, "weights": weights}, weights, where="weights")
    return spec.build().to(choose_device(device))


def _silent(stage: str, done: int, total: int | None) -> None:
    """Tell nobody."""
