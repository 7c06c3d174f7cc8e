"""Training a sense of degradation: crops of photographs of many sizes, judged by what it names."""

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
from clearsight.data.statistics import wilson
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.image_set import split
from clearsight.pipelines.training.photos import Photos, decode_photos
from clearsight.pipelines.training.scoring import DIVERGED, SEED, evaluated
from clearsight.pipelines.training.task import Score, TrainingTask
from clearsight.restore.sense import Sense, read
from clearsight.restore.sense_base import DAMAGE, MINIMUM, NAMED, SenseSpec
from clearsight.restore.training.degradation import CLEAN, Degradation

SMALL, LARGE = 64, 224
"""Sides in pixels of the centre crops in validation, in turns."""
USUAL = 64
"""Side of the crops of which a batch holds ``batch``; of larger ones, as many as make the same pixels."""


@dataclass
class Named:
    """What a sense names, by condition.

    Attributes:
        named: condition -> for each image, which kinds it named (in the order of `DAMAGE`).
        errors: condition -> absolute error of the severity of each image.
        levels: absolute error of the noise level of each noisy image, for values in [0, 1].
        sure: log-probability of the truth of each image and condition, summed over the kinds judged.
    """

    named: dict[str, list[list[bool]]] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    levels: list[float] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)

    def found(self, damage: str) -> list[bool]:
        """Return for each image with this damage whether it was named."""
        return [each[DAMAGE.index(damage)] for each in self.named[damage]]

    @property
    def left_alone(self) -> list[bool]:
        """Return for each undamaged image whether nothing was named."""
        return [not any(each) for each in self.named[CLEAN]]

    @property
    def rank(self) -> tuple[float, float]:
        """Return what chooses the checkpoint: mean of damage named and clean left alone; then mean `sure`."""
        shares = [_share(self.found(damage)) for damage in DAMAGE]
        return (sum(shares) / len(shares) + _share(self.left_alone)) / 2, sum(self.sure) / len(self.sure)

    def text(self) -> str:
        """Return one line."""
        parts = [f"{damage} {100 * _share(self.found(damage)):.0f}" for damage in DAMAGE]
        return f"named: {', '.join(parts)} %; clean left alone: {100 * _share(self.left_alone):.1f} %"

    def figure(self) -> dict[str, Any]:
        """Return the shares with their 95 % Wilson intervals, for the card."""
        told: dict[str, Any] = {
            "metric": f"share of images whose damage was named (probability from {NAMED} on)",
            "interval": "Wilson 95 %",
            CLEAN: {"left_alone": _rounded(self.left_alone)} | _interval(self.left_alone),
        }
        for damage in DAMAGE:
            errors = self.errors[damage]
            own = DAMAGE.index(damage)
            wrong = [any(row[:own] + row[own + 1 :]) for row in self.named[damage]]
            told[damage] = {
                "named": _rounded(self.found(damage)),
                **_interval(self.found(damage)),
                "others_named": _rounded(wrong),
                "severity_error": round(sum(errors) / len(errors), 3),
            }
        told["noise"]["level_error"] = round(sum(self.levels) / len(self.levels), 4)
        return told | {"n": len(self.named[CLEAN])}


def _share(each: list[bool]) -> float:
    return sum(each) / len(each)


def _rounded(each: list[bool]) -> float:
    return round(_share(each), 4)


def _interval(each: list[bool]) -> dict[str, float]:
    low, high = wilson(sum(each), len(each))
    return {"low": round(low, 4), "high": round(high, 4)}


class Sensing(TrainingTask):
    """The photographs of a sense."""

    def __init__(self, config: TrainConfig, model: SenseSpec, device: str) -> None:
        """Decode the parts.

        Raises:
            ConfigError: an image is too small for every crop.
            DataError: the photographs cannot be used.
        """
        self.config, self.spec, self.device = config, model.resolved(), device
        self.method = cast(Degradation, config.method)
        sides = split(config.data, config.validation)
        self.passed_over = {"data": sides.passed_over}
        parts = {
            "train": decode_photos(config.data, sides.train, least=MINIMUM),
            "validation": decode_photos(config.data, sides.validation, least=MINIMUM),
        }
        if config.test is not None:
            index = config.test.index()
            self.passed_over["test"] = index.passed_over
            parts["test"] = decode_photos(config.test, index.entries, least=MINIMUM)
        self.parts = {name: part.to(device) for name, part in parts.items()}
        self.shorter = parts["train"].sizes.amin(dim=1)
        self.sides = tuple(side for side in self.method.sides if side <= int(self.shorter.min()))
        if not self.sides:
            raise ConfigError(
                f"an image has a side of {int(self.shorter.min())} pixels, and no crop is that small",
                where="method.sides",
                hint="add a smaller one, or leave the image out",
            )
        self.ids, self.fingerprint = parts["train"].ids, parts["train"].fingerprint

    def decoded(self) -> Mapping[str, Photos]:
        """Return the images of all parts."""
        return self.parts

    @property
    def measured(self) -> tuple[str, ...]:
        """Return all parts but the training one."""
        return tuple(name for name in self.parts if name != "train")

    def batch(self, rows: Tensor, rng: Rng, share: float) -> TrainBatch:
        """Return random crops of one size: of those photographs that are large enough."""
        draw = rng.at("side").numpy()
        side = self.method.sides[int(draw.integers(len(self.method.sides)))]
        fit = rows[self.shorter[rows] >= side]
        if not len(fit):
            side, fit = self.sides[int(draw.integers(len(self.sides)))], rows
        fit = fit[: max(1, self.config.batch * USUAL**2 // side**2)]
        images = self.parts["train"].patches(fit, side, 3, self.config.augment, rng.at("augment").torch())
        return TrainBatch(images, None, tuple(self.ids[row] for row in fit.tolist()), share)

    @torch.no_grad()
    def score(self, model: nn.Module, part: str, *, state: dict[str, Tensor]) -> Score:
        """Return what the sense names on the centres of the photographs, each damaged in every way."""
        found = Named()
        sense = cast(Sense, model)
        with evaluated(model, state):
            for row, name in enumerate(self.parts[part].ids):
                clean = self.parts[part].whole(row, 3, side=(SMALL, LARGE)[row % 2])
                for condition in self.method.conditions:
                    self._look(sense, clean, name, condition, found)
        return found

    def _look(self, sense: Sense, clean: Tensor, name: str, condition: str, found: Named) -> None:
        """Damage one photograph in one way and keep what the sense says of it."""
        rng = Rng(SEED).at(name, condition)
        drawn = self.method.draw(clean, (name,), rng, only=condition)
        outputs = sense(drawn.images)
        refuse_non_finite(outputs, "what the model gives is", [name], where=condition, hint=DIVERGED)
        told = read(outputs)
        right = torch.where(drawn.presence > 0, told.presence, 1.0 - told.presence).clamp_min(1e-6).log()
        found.sure.append(float((right * drawn.judged).sum()))
        names = (told.presence >= NAMED) & (drawn.judged > 0)
        found.named.setdefault(condition, []).append(names[0].tolist())
        if condition == CLEAN:
            return
        column = DAMAGE.index(condition)
        error = (told.severity - drawn.severity)[0, column].abs()
        found.errors.setdefault(condition, []).append(float(error))
        if condition == "noise":
            found.levels.append(float((told.noise_level - drawn.noise_level).abs()))

    def facts(self) -> dict[str, Any]:
        """Return number and fingerprints."""
        return {
            "images": {name: len(part) for name, part in self.parts.items()},
            "fingerprints": {name: part.fingerprint for name, part in self.parts.items()},
        }
