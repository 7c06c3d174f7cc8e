"""A classifier that trains its normalisation on the images at hand: TENT with EATA's guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.sample import Sample
from clearsight.data.contract.spec import Gradient, Number, content_key
from clearsight.data.sources.base import Source
from clearsight.defend.classifiers.adapted import AdaptedAnother

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.defend.classifier import Classifier


class Tent(AdaptedAnother):
    """Test-time entropy minimisation (TENT, Wang et al. 2021) with the guards of EATA (Niu et al. 2022).

    Scales and shifts of the batch normalisation take a gradient step on the entropy of the answers after
    every ``step`` images, each of which is answered before it is learned from. **A chunk of a run is one
    indivisible stream**: within it the part carries a state, so that an answer depends on all images before
    it in the chunk, and on their order; the next chunk starts from the stored weights again. So equal runs
    are equal, a killed run goes on, and ``chunk`` is how long the stream is. It has no gradient: attack it
    through another system (``threat: transfer``) or its scores.
    """

    kind: Literal["tent"] = "tent"
    purpose: ClassVar[str] = "another classifier that trains itself on each chunk; order counts"
    gradient: ClassVar[Gradient] = Gradient.BLOCKED

    rate: Annotated[Number, Field(gt=0)] = 0.001
    """Learning rate of SGD. TENT has 0.00025 on ImageNet (SGD, batches of 64) and 0.001 on small images
    (Adam, batches of 200)."""
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    step: Annotated[int, Field(ge=1)] = 50
    """Images of one step; statistics are taken over them too."""
    entropy: Annotated[Number, Field(gt=0, le=1)] | None = 0.4
    """Learn only from answers whose entropy is below this share of ln(classes), the surer the more. null:
    from all alike, which is TENT itself and collapses where a stream is mixed or sorted by class."""
    redundancy: Annotated[Number, Field(gt=0, le=1)] | None = 0.4
    """Learn only from answers whose cosine to the moving average of those learned from is below this (EATA's
    for CIFAR-10; 0.05 for the 1000 classes of ImageNet). null, or no ``entropy``: from redundant ones too."""
    clean: Annotated[Source, Choice(SOURCES)] | None = None
    """Images like the training data, on which each weight's Fisher information is measured (without labels):
    weights that matter are held near their stored values. null: none is held."""
    anchor: Annotated[Number, Field(ge=0)] = 2000.0
    """Weight of that regulariser (EATA's for ImageNet; 1 for CIFAR-10)."""

    def ready(self) -> None:
        """Raise `ClearsightError` unless the inner classifier and the clean images are there."""
        super().ready()
        if self.clean is not None:
            self.clean.ready()

    def fingerprint(self) -> str:
        """Return a key of everything that decides the answers, the clean images included."""
        told: dict[str, Any] = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in ("classifier", "clean")
        }
        told = {name: value for name, value in told.items() if name not in ("classes", "class_names")}
        clean = None if self.clean is None else self.clean.fingerprint(self.clean.index().entries)
        return content_key([self.kind, self.revision, told, clean, self.classifier.fingerprint()])

    def around(self, classifier: Classifier) -> nn.Module:
        """Return the classifier in a module that takes the steps."""
        from clearsight.defend.networks.entropy_steps import EntropySteps, Settings, fisher_information

        settings = Settings(
            float(self.rate),
            float(self.momentum),
            self.step,
            self.entropy,
            self.redundancy,
            float(self.anchor),
        )
        importance = fisher_information(classifier, self._batches()) if self.clean is not None else None
        return EntropySteps(classifier, settings, importance)

    def _batches(self) -> list[Tensor]:
        """Return the clean images, ``step`` at a time.

        Raises:
            ConfigError: none can be used, or they differ in size.
        """
        import numpy as np
        import torch

        assert self.clean is not None
        entries = self.clean.index().entries
        images = [sample.image for sample in self.clean.read(entries) if isinstance(sample, Sample)]
        if len({image.shape for image in images}) != 1:
            raise ConfigError(
                "'clean' needs at least one image, and all of one size",
                where=self.place,
                hint="give it a 'size'",
            )
        whole = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().contiguous() / 255
        return list(torch.split(whole, self.step))
