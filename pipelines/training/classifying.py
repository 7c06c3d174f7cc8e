"""Training a classifier: labelled images of one size, judged by accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Skipped
from clearsight.data.corruptions.base import MINIMUM
from clearsight.defend.base import ClassifierSpec
from clearsight.pipelines.config.train import TrainConfig
from clearsight.pipelines.training.augment import as_floats, augmented
from clearsight.pipelines.training.image_set import ImageSet, decode, split
from clearsight.pipelines.training.scoring import Score, score
from clearsight.pipelines.training.task import TrainingTask
from clearsight.pipelines.training.through import restore_then_classify

LOOKED_AT = 4
"""Images on which the gradient through the restorers is checked."""


class Classifying(TrainingTask):
    """The images of a classifier."""

    def __init__(self, config: TrainConfig, model: ClassifierSpec, device: str) -> None:
        """Decode the parts and give the model its classes.

        Raises:
            ConfigError: the config does not fit the data.
            DataError: the images cannot be used.
        """
        model = model.resolved()
        self.how, self.method, self.device = config.augment, config.method, device
        self.through, self.train_through = config.through, config.train_through
        self.parts, classes, self.passed_over = _parts(config)
        if model.classes not in (None, len(classes)):
            raise ConfigError(
                f"the model has {model.classes} classes, the data {len(classes)}",
                where="model.classes",
                hint="leave 'classes' out",
            )
        if len(classes) < 2:
            raise ConfigError(
                f"a classifier needs two classes or more, the data has {len(classes)}",
                where="data",
                hint="give a folder with one sub-folder a class",
            )
        self.spec = model.model_copy(update={"classes": len(classes), "class_names": classes})
        train = self.parts["train"]
        if train.labels is None:
            raise ConfigError("a classifier is trained on labelled images", where="data")
        if self.how.corruptions and min(train.images.shape[1:3]) < MINIMUM:
            raise ConfigError(f"needs images of {MINIMUM}x{MINIMUM} pixels", where="augment.corruptions")
        self.ids, self.fingerprint = train.ids, train.fingerprint
        # On the device from the start: copied once, not at every step.
        self.images, self.labels = train.images.to(device), train.labels.to(device)

    def decoded(self) -> Mapping[str, ImageSet]:
        """Return the images of all parts."""
        return self.parts

    @property
    def measured(self) -> tuple[str, ...]:
        """Return all parts but the training one."""
        return tuple(name for name in self.parts if name != "train")

    def wrapped(self, model: nn.Module, rng: Rng) -> nn.Module:
        """Return the classifier, behind its restorers where there are any."""
        if not self.through:
            return model
        images = as_floats(self.images[:LOOKED_AT])
        rng = rng.at("through")
        return restore_then_classify(self.through, model, images, trained=self.train_through, rng=rng)

    def batch(self, rows: Tensor, rng: Rng, share: float) -> TrainBatch:
        """Return a corrupted and augmented batch."""
        at, ids = rows.to(self.device), tuple(self.ids[row] for row in rows.tolist())
        images = self.images[at]
        if self.how.corruptions:
            images = self.how.corruptions.mixed(images, ids, rng.at("corrupt"))
        return TrainBatch(augmented(images, self.how, rng.at("augment").torch()), self.labels[at], ids, share)

    def score(self, model: nn.Module, part: str, *, state: dict[str, Tensor]) -> Score:
        """Return accuracy and cross-entropy, also under the method's validation attack."""
        return score(model, self.parts[part], self.device, state=state, method=self.method)

    def facts(self) -> dict[str, Any]:
        """Return number, fingerprints and size."""
        return {
            "images": {name: len(part) for name, part in self.parts.items()},
            "fingerprints": {name: part.fingerprint for name, part in self.parts.items()},
            "height": self.images.shape[1],
            "width": self.images.shape[2],
        }


def _parts(
    config: TrainConfig,
) -> tuple[dict[str, ImageSet], tuple[str, ...], dict[str, tuple[Skipped, ...]]]:
    """Return the decoded parts, the classes, and source -> files that are passed over."""
    sides = split(config.data, config.validation)
    passed_over = {"data": sides.passed_over}
    parts = {
        "train": decode(config.data, sides.train),
        "validation": decode(config.data, sides.validation),
    }
    if config.test is not None:
        index = config.test.index()
        passed_over["test"] = index.passed_over
        if index.classes != sides.classes:
            raise ConfigError("its classes differ from those of the training data", where="test")
        parts["test"] = decode(config.test, index.entries)
        seen = set(parts["train"].ids) | set(parts["validation"].ids)
        if shared := sorted(seen & set(parts["test"].ids)):
            raise ConfigError(
                f"{len(shared)} test images are also trained on ({shared[0]}, ...)",
                where="test",
                hint="split with hold_out: subset: train for data, subset: held_out for test",
            )
    return parts, sides.classes, passed_over
