"""Judging a restorer by frozen classifiers: does the restored image get the answer of the clean one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.finite import refuse_non_finite
from clearsight.data.statistics import wilson
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.classifier import Classifier
from clearsight.pipelines.systems.device import layout
from clearsight.pipelines.training.photos import Photos
from clearsight.pipelines.training.scoring import DIVERGED, SEED, evaluated
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.restorer import Restorer
from clearsight.restore.training.base import RestorerMethod


@dataclass(frozen=True)
class Recognised:
    """Answers of the recognisers, by condition: one entry an image and recogniser.

    Attributes:
        agreed: whether the restored image gets the class of the clean one.
        before: the same of the degraded image.
        decibels: PSNR of the restored image, one entry an image.
    """

    agreed: dict[str, list[bool]] = field(default_factory=dict)
    before: dict[str, list[bool]] = field(default_factory=dict)
    decibels: dict[str, list[float]] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, float]:
        """Return what chooses the checkpoint: agreement, mean over the conditions; then mean PSNR."""
        shares = [sum(each) / len(each) for each in self.agreed.values()]
        values = [value for each in self.decibels.values() for value in each]
        return sum(shares) / len(shares), sum(values) / len(values)

    def text(self) -> str:
        """Return one line."""
        parts = [
            f"{name} {100 * sum(each) / len(each):.1f} % (input"
            f" {100 * sum(self.before[name]) / len(each):.1f} %)"
            for name, each in self.agreed.items()
        ]
        count = len(next(iter(self.decibels.values())))
        return f"agreement: {', '.join(parts)}, {count} images"

    def figure(self) -> dict[str, Any]:
        """Return the shares with their 95 % Wilson intervals, for the card."""
        told: dict[str, Any] = {
            "metric": "share of images that get the class of the clean image",
            "interval": "Wilson 95 %",
        }
        for name, each in self.agreed.items():
            low, high = wilson(sum(each), len(each))
            told[name] = {
                "agreement": round(sum(each) / len(each), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "input": round(sum(self.before[name]) / len(each), 4),
                "psnr": round(sum(self.decibels[name]) / len(self.decibels[name]), 2),
            }
        return told | {"n": len(next(iter(self.agreed.values())))}


def frozen(specs: Sequence[ClassifierSpec], device: str) -> tuple[Classifier, ...]:
    """Return trained classifiers in eval mode: gradients reach their input, not their weights.

    Raises:
        ConfigError: one has no weights.
    """
    built = []
    for number, spec in enumerate(specs):
        if not spec.pretrained:
            raise ConfigError(
                f"'{spec.name}' has no weights", where=f"recognisers[{number}]", hint="give 'weights'"
            )
        classifier = spec.build().eval().requires_grad_(requires_grad=False)
        order = layout(classifier, device)
        built.append(classifier.to(device=device, memory_format=order))  # type: ignore[call-overload]
    return tuple(built)


@torch.no_grad()
def score_recognition(
    model: Restorer,
    method: RestorerMethod,
    recognisers: Sequence[Classifier],
    photos: Photos,
    *,
    state: dict[str, Tensor] | None = None,
    side: int | None = None,
) -> Recognised:
    """Measure a restorer in eval mode by classifiers; its weights and mode are restored afterwards.

    Args:
        model: the restorer.
        method: says in which conditions.
        recognisers: frozen classifiers.
        photos: clean ones.
        state: weights to measure in place of the model's own.
        side: pixels a side of the centre crop that is measured; None: the whole photograph.

    Raises:
        DataError: a restored photograph, or logits of a recogniser, are not finite.
    """
    score = Recognised()
    channels = model.facts.channels[-1]
    with evaluated(model, state):
        for row, name in enumerate(photos.ids):
            clean = photos.whole(row, channels, side=side, multiple_of=model.facts.scale)
            answers = [_class(recogniser, clean, name) for recogniser in recognisers]
            for condition in method.conditions:
                pair = method.pair(model, clean, condition, Rng(SEED).at(name, condition))
                restored = model.restored(pair.degraded)
                refuse_non_finite(restored, "what the model gives is", [name], where=condition, hint=DIVERGED)
                restored = restored.clamp(0.0, 1.0)
                score.decibels.setdefault(condition, []).append(float(psnr(restored, pair.target)))
                for images, told in ((restored, score.agreed), (pair.degraded, score.before)):
                    told.setdefault(condition, []).extend(
                        _class(recogniser, images, name) == answer
                        for recogniser, answer in zip(recognisers, answers, strict=True)
                    )
    return score


def _class(recogniser: Classifier, images: Tensor, name: str) -> int:
    """Return the class of the only image."""
    logits = recogniser(images)
    refuse_non_finite(logits, "a recogniser's logits are", [name])
    return int(logits.argmax(1))
