"""Training a restorer: random crops of photographs, judged by PSNR in the conditions of its method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.finite import refuse_non_finite
from clearsight.data.statistics import bootstrap_mean
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.systems.labels import check_system
from clearsight.pipelines.training.image_set import split
from clearsight.pipelines.training.photos import Photos, decode_photos
from clearsight.pipelines.training.recognising import frozen, score_recognition
from clearsight.pipelines.training.scoring import DIVERGED, SEED, evaluated
from clearsight.pipelines.training.task import Score, TrainingTask
from clearsight.restore.base import RestorerSpec
from clearsight.restore.quality.psnr_ssim import psnr
from clearsight.restore.restorer import Restorer
from clearsight.restore.training.base import RestorerMethod

SIDE = 192
"""Pixels a side of the centre crop of each photograph in validation; divisible by 8 and by 3."""


@dataclass(frozen=True)
class Restored:
    """PSNR in dB of every photograph, by condition.

    Attributes:
        after: of the restored photographs.
        before: of the degraded ones, where they have the size of the truth.
    """

    after: dict[str, list[float]] = field(default_factory=dict)
    before: dict[str, list[float]] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Return the mean over conditions and photographs."""
        values = [value for each in self.after.values() for value in each]
        return sum(values) / len(values)

    @property
    def rank(self) -> tuple[float, float]:
        """Return what chooses the checkpoint, greater is better: the mean PSNR in dB."""
        return self.mean, 0.0

    def text(self) -> str:
        """Return one line."""
        parts = [f"{name} {sum(each) / len(each):.2f} dB" for name, each in self.after.items()]
        count = len(next(iter(self.after.values())))
        return f"{', '.join(parts)} ({count} images)"

    def figure(self) -> dict[str, Any]:
        """Return the means with their 95 % bootstrap intervals over photographs, for the card."""
        told: dict[str, Any] = {
            "metric": "PSNR in dB, values clamped to [0, 1]",
            "interval": "bootstrap 95 %",
        }
        for name, values in self.after.items():
            mean = sum(values) / len(values)
            low, high = bootstrap_mean(values, Rng(SEED).at("interval", name))
            told[name] = {"psnr": round(mean, 3), "low": round(low, 3), "high": round(high, 3)}
            if before := self.before.get(name):
                told[name]["input"] = round(sum(before) / len(before), 3)
        return told | {"n": len(next(iter(self.after.values())))}


@torch.no_grad()
def score_restorer(
    model: Restorer,
    method: RestorerMethod,
    photos: Photos,
    *,
    state: dict[str, Tensor] | None = None,
    side: int | None = SIDE,
) -> Restored:
    """Measure a restorer in eval mode; its weights and mode are restored afterwards.

    Args:
        model: the restorer.
        method: says in which conditions.
        photos: clean ones.
        state: weights to measure in place of the model's own.
        side: pixels a side of the centre crop that is measured; None: the whole photograph.

    Raises:
        DataError: a restored photograph holds values that are not finite.
    """
    score = Restored()
    channels = model.facts.channels[-1]
    with evaluated(model, state):
        for row, name in enumerate(photos.ids):
            clean = photos.whole(row, channels, side=side, multiple_of=model.facts.scale)
            for condition in method.conditions:
                pair = method.pair(model, clean, condition, Rng(SEED).at(name, condition))
                restored = model.restored(pair.degraded, pair.sigma)
                refuse_non_finite(restored, "what the model gives is", [name], where=condition, hint=DIVERGED)
                restored = restored.clamp(0.0, 1.0)
                score.after.setdefault(condition, []).append(float(psnr(restored, pair.target)))
                if pair.degraded.shape == pair.target.shape:
                    before = psnr(pair.degraded.clamp(0.0, 1.0), pair.target)
                    score.before.setdefault(condition, []).append(float(before))
    return score


class Restoring(TrainingTask):
    """The photographs of a restorer."""

    def __init__(self, config: TrainConfig, model: RestorerSpec, device: str) -> None:
        """Decode the parts.

        Raises:
            ConfigError: the config does not fit the data.
            DataError: the photographs cannot be used.
        """
        spec = model.resolved()
        facts = spec.facts
        if config.patch % (grid := facts.multiple_of * facts.scale):
            raise ConfigError(f"{config.patch} is not divisible by {grid}, as the model asks", where="patch")
        self.config, self.spec, self.channels = config, spec, facts.channels[-1]
        self.method = cast(RestorerMethod, config.method)
        sides = split(config.data, config.validation)
        self.passed_over = {"data": sides.passed_over}
        judged, source = sides.validation, config.data
        parts = {"train": decode_photos(config.data, sides.train, least=config.patch)}
        if config.reference is not None:
            source = config.reference
            other = split(source, config.validation)
            self.passed_over["reference"] = other.passed_over
            parts["reference"] = decode_photos(source, other.train, least=config.patch)
            judged = other.validation
        parts["validation"] = decode_photos(source, judged, least=facts.multiple_of * facts.scale)
        if config.test is not None:
            index = config.test.index()
            self.passed_over["test"] = index.passed_over
            parts["test"] = decode_photos(config.test, index.entries)
        self.parts = {name: part.to(device) for name, part in parts.items()}
        self.recognisers = frozen(config.recognisers, device)
        if self.method.needs_labels:
            for number, recogniser in enumerate(self.recognisers):
                name = f"recognisers[{number}]"
                check_system(name, recogniser, sides.train, sides.classes, mapped=config.data.mapped)
        self.ids, self.fingerprint = parts["train"].ids, parts["train"].fingerprint

    def decoded(self) -> Mapping[str, Photos]:
        """Return the images of all parts."""
        return self.parts

    @property
    def measured(self) -> tuple[str, ...]:
        """Return the parts that nothing is learned from."""
        return tuple(name for name in self.parts if name in ("validation", "test"))

    def batch(self, rows: Tensor, rng: Rng, share: float) -> TrainBatch:
        """Return random crops, and as many of the reference where there is one."""
        side, how = self.config.patch, self.config.augment
        images = self.parts["train"].patches(rows, side, self.channels, how, rng.at("augment").torch())
        reference = None
        if others := self.parts.get("reference"):
            generator = rng.at("reference").torch()
            drawn = torch.randint(len(others), (rows.numel(),), generator=generator)
            reference = others.patches(drawn, side, self.channels, how, generator)
        ids = tuple(self.ids[row] for row in rows.tolist())
        labels = self.parts["train"].labels[rows].to(images.device) if self.method.needs_labels else None
        return TrainBatch(images, labels, ids, share, reference, recognisers=self.recognisers)

    def score(self, model: nn.Module, part: str, *, state: dict[str, Tensor]) -> Score:
        """Return the PSNR, or what the recognisers say where there are any.

        Validation looks at the centres of photographs, the test at whole ones.
        """
        side = SIDE if part == "validation" else None
        restorer, photos = cast(Restorer, model), self.parts[part]
        if self.recognisers:
            return score_recognition(restorer, self.method, self.recognisers, photos, state=state, side=side)
        return score_restorer(restorer, self.method, photos, state=state, side=side)

    def facts(self) -> dict[str, Any]:
        """Return number and fingerprints."""
        return {
            "images": {name: len(part) for name, part in self.parts.items()},
            "fingerprints": {name: part.fingerprint for name, part in self.parts.items()},
        } | self._looked_through()

    def _looked_through(self) -> dict[str, Any]:
        """Return what identifies the recognisers: their weights, or the kind and file that they come from."""
        if not self.recognisers:
            return {}
        return {"recognisers": [each.spec.weights or each.place for each in self.recognisers]}
