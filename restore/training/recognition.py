"""Restoration for recognition: learned through frozen classifiers, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import MODEL, UNKNOWN, TrainBatch
from clearsight.data.contract.spec import Number
from clearsight.data.corruption_mixture import CorruptionMixture
from clearsight.restore.training.base import Pair, RestorerMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

CLEAN, CORRUPTED = "clean", "corrupted"
Weight = Annotated[Number, Field(ge=0)]
Depth = Annotated[Number, Field(ge=0, le=1)]


class Recognition(RestorerMethod):
    """Make a frozen classifier say of the restored image what it says of the clean one.

    URIE (Son et al. 2020) trains a restorer by the cross-entropy of a classifier behind it; here the
    classifier's own answer on the undamaged photograph is the target (Liu et al., "recognition-aware image
    processing", in its form without labels), so that any photograph serves. Features at some depths are
    compared too, and a small loss on pixels keeps the result an image. A share of the inputs is undamaged:
    those must be left alone. With several classifiers each step draws one of them.
    """

    kind: Literal["recognition"] = "recognition"
    purpose: ClassVar[str] = "restores what frozen classifiers need, any corruption, without labels"
    needs_recognisers: ClassVar[bool] = True

    corruptions: CorruptionMixture = CorruptionMixture(share=0.85, twice=0.15)
    """What happens to the photographs. Kinds that are left out stay unseen: report them separately."""
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    """Softmax temperature of both answers in their comparison (Hinton et al. 2015)."""
    image_weight: Weight = 0.5
    """Weight of the mean absolute difference of pixels."""
    feature_weight: Weight = 0.2
    """Weight of the feature distance: squared difference over the variance of the clean features."""
    depths: tuple[Depth, ...] = (0.5, 1.0)
    """Which features: outputs of the convolutions at these shares of the classifier's depth."""
    pixels_until: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Part of the training, from its start, that compares pixels alone: where the classifier costs more than
    the restorer, what pixels can teach is cheaper to learn first. Alternating with steps through a classifier
    does not do that, because their gradients are larger."""

    answer_weight: Weight = 1.0
    """Weight of the divergence between the classifier's two answers. Features give a target at every
    position, the answer only one per image: small batches learn faster from features."""
    label_weight: Weight = 0.0
    """Weight of the cross-entropy of the classifier's answer on the restored image with the label, where an
    image has one: then the classes of the data must be the classifiers'. At 0 labels are ignored."""

    def identity(self) -> dict[str, Any]:
        """Return what decides a training; newer fields at their defaults are left out, so that keys stay."""
        later = {"pixels_until": 0.0, "label_weight": 0.0, "answer_weight": 1.0}
        told = super().identity().items()
        return {name: value for name, value in told if name not in later or value != later[name]}

    @property
    def needs_labels(self) -> bool:
        """Return whether labels enter the loss."""
        return self.label_weight > 0

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return clean, where nothing may be lost, and corrupted, where much is to be won."""
        return (CLEAN, CORRUPTED)

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the distance between the classifier's view of the restored and of the clean images."""
        import torch
        from torch.nn.functional import l1_loss

        from clearsight.restore.networks.features import Watched

        if not batch.recognisers:
            raise ConfigError("needs classifiers to look through", where=self.kind, hint="add 'recognisers:'")
        model: Restorer = networks[MODEL]  # type: ignore[assignment]
        clean = batch.images
        damaged = self._corrupted(clean, batch.ids, rng.at("corrupt"), self.corruptions)
        if batch.share < self.pixels_until:
            yield MODEL, self.image_weight * l1_loss(model.restored(damaged), clean)
            return
        place = int(rng.at("recogniser").numpy().integers(len(batch.recognisers)))
        watched = Watched(batch.recognisers[place], self.depths if self.feature_weight else ())
        with torch.no_grad():
            answer, features = watched(clean)
        damaged = self._attacked(model, batch.recognisers[place], damaged, answer, rng.at("attack"))
        restored = model.restored(damaged)
        # What is deployed is clamped; pixels beyond the range learn from their distance to the clean ones.
        own_answer, own_features = watched(restored.clamp(0.0, 1.0))
        loss = self.image_weight * l1_loss(restored, clean)
        loss = loss + self.answer_weight * self._distance(own_answer, answer)
        if batch.labels is not None:
            loss = loss + self.label_weight * _labelled(own_answer, batch.labels)
        for own, target in zip(own_features, features, strict=True):
            distance = (own - target).square().mean() / target.var().clamp(min=1e-6)
            loss = loss + self.feature_weight / len(features) * distance
        yield MODEL, loss

    def _attacked(
        self, model: Restorer, recogniser: nn.Module, damaged: Tensor, answer: Tensor, rng: Rng
    ) -> Tensor:
        """Hook: return the inputs of a step, (n, 3, h, w) in [0, 1]; here the corrupted images."""
        return damaged

    def _distance(self, logits: Tensor, answer: Tensor) -> Tensor:
        """Return the mean Kullback-Leibler divergence from the answer on the clean images, softened."""
        from torch.nn.functional import kl_div, log_softmax

        own, target = (log_softmax(each / self.temperature, dim=1) for each in (logits, answer))
        return self.temperature**2 * kl_div(own, target, reduction="batchmean", log_target=True)

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Return validation images as they are, or all corrupted by a kind and severity drawn for each."""
        if condition == CLEAN:
            return Pair(images, images)
        if condition != CORRUPTED:
            raise ConfigError(f"no condition '{condition}'", where=self.kind, hint="known: clean, corrupted")
        mixture = self.corruptions.model_copy(update={"share": 1.0})
        names = [str(row) for row in range(len(images))]
        return Pair(self._corrupted(images, names, rng, mixture), images)

    def _corrupted(
        self, images: Tensor, ids: tuple[str, ...] | list[str], rng: Rng, mixture: CorruptionMixture
    ) -> Tensor:
        """Corrupt float images (n, 3, h, w) as files would be: in 8 bits."""
        levels = images.mul(255.0).round().byte().permute(0, 2, 3, 1)
        out: Tensor = mixture.mixed(levels, ids, rng).permute(0, 3, 1, 2)
        return out.contiguous().to(images.dtype) / 255.0


def _labelled(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the images that have a label (not below 0); 0 where none has."""
    from torch.nn.functional import cross_entropy

    total = cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="sum")
    return total / (labels != UNKNOWN).sum().clamp(min=1)
