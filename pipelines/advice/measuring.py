"""What chains do to a classifier's answers: on labelled images, or on undamaged ones without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.finite import refuse_non_finite
from clearsight.data.paired_family import judge
from clearsight.pipelines.systems.graph import chain
from clearsight.restore.sense_base import DAMAGE
from clearsight.restore.training.degradation import KINDS, ORDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clearsight.data.contract.progress import Progress
    from clearsight.data.contract.sample import Sample
    from clearsight.defend.base import ClassifierSpec
    from clearsight.pipelines.advice.proposals import Candidate
    from clearsight.pipelines.advice.readings import Reading
    from clearsight.pipelines.systems.system import System

INTACT = 0.3
"""Probability of every kind of damage below which an image can stand for a clean one."""
BATCH = 32


@dataclass(frozen=True)
class Measured:
    """A chain on the same images as the classifier alone.

    Attributes:
        name: of the chain.
        share: of right answers, or of answers that agree with those on the undamaged images.
        difference: from the classifier alone.
        low: of its 95 % interval, which holds for all chains at once; ``high`` is its other end.
        milliseconds: an image, classifier included.
    """

    name: str
    share: float
    difference: float
    low: float
    high: float
    milliseconds: float

    @property
    def helps(self) -> bool:
        """Return whether the interval lies above 0."""
        return self.low > 0


def damaged_alike(intact: Sequence[Sample], readings: Sequence[Reading], rng: Rng) -> list[Sample]:
    """Return the intact images, each damaged like an image of the folder that is drawn for it.

    Kinds and severities are those that were sensed; where the drawn image is undamaged, nothing is changed.
    """
    made = []
    for sample in intact:
        stream = rng.at(sample.id)
        draw = stream.numpy()
        like = readings[int(draw.integers(len(readings)))]
        image = sample.image
        for kind in (kind for kind in ORDER if kind in like.named):
            kinds = KINDS[kind]
            severity = min(5, max(1, round(like.severity[kind])))
            node = {"kind": kinds[int(draw.integers(len(kinds)))], "severity": severity}
            image = CORRUPTIONS.parse(node)(image, stream.at(kind))
        made.append(replace(sample, image=image))
    return made


def stands_for_clean(reading: Reading) -> bool:
    """Return whether every kind of damage is improbable enough for an image to stand for a clean one."""
    return all(reading.presence[kind] < INTACT for kind in DAMAGE)


def measure(
    classifier: ClassifierSpec,
    tried: Sequence[Candidate],
    images: Sequence[Sample],
    truths: Sequence[int],
    tell: Progress,
) -> tuple[float, list[Measured]]:
    """Return the classifier's share of right answers alone, and what every chain in front of it changes.

    Args:
        classifier: with its weights.
        tried: chains.
        images: to classify.
        truths: class of each.
        tell: called with (stage, done, all).

    Raises:
        DataError: logits that are not finite; the image is named.
    """
    graphs = [chain(classifier), *(each.graph(classifier) for each in tried)]
    right, times = [], []
    for number, graph in enumerate(graphs, 1):
        began = perf_counter()
        right.append(answers(graph.build(), images) == np.asarray(truths))
        times.append(1000.0 * (perf_counter() - began) / len(images))
        tell("measure", number, len(graphs))
    differences = [each.astype(np.float64) - right[0].astype(np.float64) for each in right[1:]]
    judged = judge(differences, Rng(0).at("advise"))
    return float(right[0].mean()), [
        Measured(each.name, float(own.mean()), found.difference, found.low, found.high, time)
        for each, own, found, time in zip(tried, right[1:], judged, times[1:], strict=True)
    ]


@torch.inference_mode()
def answers(system: System, images: Sequence[Sample]) -> NDArray[np.int64]:
    """Return the class of each image, (n,); consecutive images of one size are batched.

    Raises:
        DataError: logits that are not finite; the image is named.
    """
    found: list[int] = []
    start = 0
    while start < len(images):
        stop = start + 1
        shape = images[start].image.shape
        while stop < min(len(images), start + BATCH) and images[stop].image.shape == shape:
            stop += 1
        some = images[start:stop]
        batch = torch.from_numpy(np.stack([np.ascontiguousarray(each.image) for each in some]))
        logits = system(batch.permute(0, 3, 1, 2).float() / 255.0)
        refuse_non_finite(logits, "the logits are", [each.id for each in some])
        found += logits.argmax(1).tolist()
        start = stop
    return np.asarray(found, dtype=np.int64)
