"""Corrupted images among those that a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from clearsight.data.benchmark.sets import IMAGENET_C_15
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import near_miss
from clearsight.data.contract.spec import Number, Spec
from clearsight.data.corruptions.base import Corruption, Table

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor

    from clearsight.data.contract.rng import Rng

Severity = Annotated[int, Field(ge=1, le=5)]


class CorruptionMixture(Spec):
    """Each image is corrupted with some probability, by a kind and at a severity drawn uniformly.

    Figures on kinds that a classifier was trained on say nothing about unseen corruptions: compare it on
    kinds that are not in ``kinds``, such as the four extra ones of ImageNet-C.
    """

    share: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Part of the images that are corrupted."""
    twice: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Part of the corrupted images that a second corruption is laid over, drawn in the same way."""
    kinds: Annotated[tuple[str, ...], Field(min_length=1)] = IMAGENET_C_15
    """Kinds of corruptions; by default the 15 common ones."""
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    """Severities that are drawn from."""
    table: Table = "imagenet_c"
    """Severity constants, see any corruption; unlike there, ImageNet-C's where left out."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = [
            kind for kind, each in CORRUPTIONS.kinds.items() if each.group != "none" and not each.needed()
        ]
        for kind in self.kinds:
            if kind not in known:
                raise ValueError(f"no corruption '{kind}'; {near_miss(kind, known)}")
            # A kind may not have this table.
            self._corruption(kind, self.severities[0])
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the images; ``twice: 0`` is left out, so that older keys stay valid."""
        return {name: value for name, value in super().identity().items() if name != "twice" or value}

    def _drawn(self, draw: Generator) -> Corruption:
        kind = self.kinds[int(draw.integers(len(self.kinds)))]
        return self._corruption(kind, self.severities[int(draw.integers(len(self.severities)))])

    def _corruption(self, kind: str, severity: int) -> Corruption:
        return CORRUPTIONS[kind].model_validate({"severity": severity, "table": self.table})

    def mixed(self, images: Tensor, ids: Sequence[str], rng: Rng) -> Tensor:
        """Return the images with some of them corrupted, by the calls that an evaluation makes.

        Args:
            images: uint8 (n, h, w, 3), at least 16x16, on any device; they are not changed.
            ids: n names. What happens to an image depends on its name and on ``rng`` alone.
            rng: the stream of a step.

        Returns:
            uint8 (n, h, w, 3) on the same device.
        """
        import torch

        out = images.cpu().clone()
        for row, name in enumerate(ids):
            stream = rng.at(name)
            draw = stream.numpy()
            if draw.random() < self.share:
                image = self._drawn(draw)(out[row].numpy(), stream)
                # No draw at ``twice: 0``, so that older configs keep their random numbers.
                if self.twice and draw.random() < self.twice:
                    image = self._drawn(draw)(image, stream.at("second"))
                out[row] = torch.from_numpy(image)
        return out.to(images.device)
