"""Corrupted images among those that a classifier is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from clearsight.data.benchmark.sets import IMAGENET_C_15
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import near_miss
from clearsight.data.contract.spec import Number, Spec
from clearsight.data.corruptions.base import Corruption, Table

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng

Severity = Annotated[int, Field(ge=1, le=5)]


class CorruptionMixture(Spec):
    """Each image is corrupted with a chance, by a kind and at a severity that are drawn evenly.

    A classifier that has seen a kind of corruption in training is no witness for unseen corruptions: compare
    it on kinds that are not in ``kinds``, such as the four extra ones of ImageNet-C.
    """

    share: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Part of the images that are corrupted."""
    kinds: Annotated[tuple[str, ...], Field(min_length=1)] = IMAGENET_C_15
    """Kinds of corruptions; by default the 15 common ones."""
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    """Severities that are drawn from."""
    table: Table = "imagenet_c"
    """Severity constants: those of ImageNet-C (224 pixels) or of CIFAR-C (32 pixels)."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = [kind for kind, each in CORRUPTIONS.kinds.items() if each.group != "none"]
        for kind in self.kinds:
            if kind not in known:
                raise ValueError(f"no corruption '{kind}'; {near_miss(kind, known)}")
            # A kind may not have this table.
            self._corruption(kind, self.severities[0])
        return self

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
                kind = self.kinds[int(draw.integers(len(self.kinds)))]
                severity = self.severities[int(draw.integers(len(self.severities)))]
                out[row] = torch.from_numpy(self._corruption(kind, severity)(out[row].numpy(), stream))
        return out.to(images.device)
