"""`advise`: what is wrong with images, what would help a classifier with them, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Skipped
from clearsight.data.sources.base import middle_side
from clearsight.data.statistics import wilson
from clearsight.pipelines.advice.measuring import (
    Measured,
    answers,
    damaged_alike,
    measure,
    stands_for_clean,
)
from clearsight.pipelines.advice.proposals import Candidate, candidates
from clearsight.pipelines.advice.readings import Reading, read_images
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.labels import check_labels
from clearsight.restore.sense_base import DAMAGE

if TYPE_CHECKING:
    from clearsight.data.contract.progress import Progress
    from clearsight.data.sources.base import Source
    from clearsight.defend.base import ClassifierSpec
    from clearsight.restore.sense import Sense

SHARE = 0.3
"""Share of the images from which a kind of damage is the folder's."""
LEAST = 20
"""Fewest undamaged images that agreement can be measured on."""
LEAVE = "leave it alone"


@dataclass(frozen=True)
class FolderDamage:
    """One kind of damage in a folder.

    Attributes:
        kind: of damage.
        share: of the images that have it; ``low`` and ``high`` are the ends of its interval.
        severity: mean over those images, 0 where there are none.
        there: whether it counts as the folder's.
    """

    kind: str
    share: float
    low: float
    high: float
    severity: float
    there: bool


@dataclass(frozen=True)
class Advice:
    """What to do with a folder of images in front of a classifier.

    Attributes:
        verdict: ``leave it alone``, ``use <chain>``, or ``try <chain>`` where nothing could be measured.
        why: one sentence.
        images: number that was looked at.
        damage: every kind, the most frequent first.
        noise_level: median over the images, for values in [0, 1].
        skipped: images that could not be used.
        passed_over: files beside the images, with reasons.
        how: ``labels``, ``agreement`` or ``nothing``: what the figures below are.
        alone: share of right (or agreeing) answers of the classifier alone; None where nothing was measured.
        measured: the chains that were tried.
        config: parts and system of the advised chain as YAML; empty where there is none.
    """

    verdict: str
    why: str
    images: int
    damage: tuple[FolderDamage, ...]
    noise_level: float
    skipped: tuple[Skipped, ...]
    passed_over: tuple[Skipped, ...]
    how: str = "nothing"
    alone: float | None = None
    measured: tuple[Measured, ...] = ()
    config: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)


def advise(
    data: Source,
    classifier: ClassifierSpec,
    sense: Sense,
    *,
    restorers: Sequence[str] | None = None,
    take: int = 300,
    tell: Progress,
) -> Advice:
    """Look at images, propose chains of shipped restorers, and measure them where that is possible.

    With labels the figure is accuracy on the images themselves. Without, images that seem undamaged are
    damaged as the others seem to be, and the figure is how often the undamaged one's answer stays.
    A chain is advised only where its interval, which holds for all chains together, lies above 0.

    Args:
        data: the images.
        classifier: with its weights.
        sense: estimates the damage.
        restorers: chains to try (``denoise,deblur``) in place of those that fit the damage.
        take: most images to look at, drawn evenly over the classes.
        tell: called with (stage, done, all).

    Raises:
        ConfigError: unknown restorers, or labels that are not the classifier's classes.
        DataError: no image can be used, or a system gives values for one that are not finite.
    """
    data = data.model_copy(update={"take": min(take, data.take or take)})
    index = data.index()
    found = list(read_images(data, index.entries, sense, tell))
    skipped = tuple(each for each in found if isinstance(each, Skipped))
    looked_at = [each for each in found if not isinstance(each, Skipped)]
    if not looked_at:
        raise DataError("no image can be used", where="advise", hint=skipped[0].reason if skipped else "")
    samples, readings = [sample for sample, _ in looked_at], [reading for _, reading in looked_at]
    folder = _folder(readings)
    there = [each.kind for each in folder if each.there]
    level = sorted(reading.noise_level for reading in readings)[len(readings) // 2]

    why = "nothing seems to be wrong with these images"
    passed_over = tuple(index.passed_over)
    unmeasured = Advice(LEAVE, why, len(readings), folder, level, skipped, passed_over)
    if not there and restorers is None:
        return unmeasured
    side = middle_side(data.sizes(index.entries))
    partly = any(not reading.named for reading in readings)
    tried = candidates(there, side, restorers, sense=sense.spec if partly else None)
    if not tried:
        return replace(unmeasured, why=f"no restorer that ships is made for {' and '.join(there)}")
    built = classifier.resolved()
    labelled = [(sample, sample.truth) for sample in samples if sample.truth is not None]
    if labelled:
        check_labels(
            index.entries,
            index.classes,
            mapped=data.mapped,
            system="classifier",
            classes=built.known_classes,
            names=built.class_names,
        )
        images, truths, how = (
            [sample for sample, _ in labelled],
            [truth for _, truth in labelled],
            "labels",
        )
    else:
        intact = [sample for sample, reading in looked_at if stands_for_clean(reading)]
        if len(intact) < LEAST:
            why = f"{len(intact)} images seem undamaged, too few to measure on; label some and ask again"
            config = tried[0].config(classifier)
            return replace(unmeasured, verdict=f"try {tried[0].name}", why=why, config=config)
        images = damaged_alike(intact, readings, Rng(0).at("advise", "damage"))
        clean = answers(chain(classifier).build(), intact)
        truths, how = clean.tolist(), "agreement"
    alone, measured = measure(classifier, tried, images, truths, tell)
    advice = replace(unmeasured, how=how, alone=alone, measured=tuple(measured))
    return _decided(advice, tried, classifier)


def _folder(readings: Sequence[Reading]) -> tuple[FolderDamage, ...]:
    """Return every kind of damage in the folder, the most frequent first."""
    found = []
    for kind in DAMAGE:
        severities = [reading.severity[kind] for reading in readings if kind in reading.named]
        share = len(severities) / len(readings)
        low, high = wilson(len(severities), len(readings))
        mean = sum(severities) / len(severities) if severities else 0.0
        found.append(FolderDamage(kind, share, low, high, mean, share >= SHARE))
    return tuple(sorted(found, key=lambda each: -each.share))


def _decided(advice: Advice, tried: Sequence[Candidate], classifier: ClassifierSpec) -> Advice:
    """Return the advice with its verdict: the best of the tried chains that clearly helps, if any."""
    helping = [(each, one) for each, one in zip(advice.measured, tried, strict=True) if each.helps]
    if not helping:
        best = max(advice.measured, key=lambda each: each.difference)
        why = (
            f"no chain clearly helps: the best, {best.name}, changes {100 * best.difference:+.1f} points"
            f" [{100 * best.low:+.1f}, {100 * best.high:+.1f}]"
        )
        return replace(advice, why=why)
    best, chosen = max(helping, key=lambda pair: pair[0].difference)
    why = f"{100 * best.difference:+.1f} points [{100 * best.low:+.1f}, {100 * best.high:+.1f}]"
    return replace(advice, verdict=f"use {best.name}", why=why, config=chosen.config(classifier))


def classifier_of(word: str) -> ClassifierSpec:
    """Return the classifier that a word means: weights (id or folder), an ONNX file, or a kind.

    Raises:
        ConfigError: it means none.
        WeightsError: the weights are damaged, or there are none of this name.
    """
    from clearsight.data.weights import kind_of_weights
    from clearsight.defend.catalogue import CLASSIFIERS

    where = "--classifier"
    if word.endswith(".onnx"):
        node = {"kind": "onnx", "path": word}
    elif word in CLASSIFIERS.kinds:
        node = {"kind": word}
    else:
        kind = kind_of_weights(word, CLASSIFIERS.kinds, refused="which classifies nothing", where=where)
        node = {"kind": kind, "weights": word}
    return CLASSIFIERS.of_word(node, word, where=where)
