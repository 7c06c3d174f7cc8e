"""Restores only what a sense of degradation finds damaged."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import Number, content_key
from clearsight.data.weights import SENSE
from clearsight.pipelines.systems.gates.base import GateSpec
from clearsight.restore.catalogue import SENSES
from clearsight.restore.sense_base import DAMAGE, Damage, SenseSpec
from clearsight.restore.senses.degradation import DegradationSense

if TYPE_CHECKING:
    from torch import Tensor, nn


class DamageGate(GateSpec):
    """The restored image where the sense finds damage, the untouched one elsewhere.

    An image counts as damaged where the probability that any of the kinds in ``damage`` is there reaches
    ``threshold``; kinds are taken as independent.
    """

    kind: Literal["damage_gate"] = "damage_gate"
    purpose: ClassVar[str] = "restore only images that the sense finds damaged"

    damage: Annotated[tuple[Damage, ...], Field(min_length=1)] = DAMAGE
    """Kinds of damage that count: those that the restorer is made for."""
    threshold: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    """Probability from which the restored image is taken."""
    sense: Annotated[SenseSpec, Choice(SENSES)] = DegradationSense(weights=SENSE)
    """The sense that judges the image."""

    @model_validator(mode="after")
    def _the_sense_says(self) -> Self:
        if self.weights is not None:
            raise ValueError("write the weights below 'sense'")
        return self

    def branches(self) -> int:
        """Return two: the image and the restored one."""
        return 2

    def ready(self) -> None:
        """Raise `WeightsError` unless the sense can be built."""
        self.sense.ready()

    def fingerprint(self) -> str:
        """Return a key of the fields and of the sense with its weights."""
        fields = {name: value for name, value in self.identity().items() if name != "sense"}
        return content_key([self.kind, fields, self.sense.fingerprint()])

    @property
    def decided_by(self) -> str | None:
        """Return the weights of the sense."""
        return self.sense.weights

    def network(self) -> nn.Module:
        """Return the sense."""
        return self.sense.build()

    def scores(self, images: Sequence[Tensor], network: nn.Module | None) -> Tensor:
        """Return 0 for the image; for the restored one, log-odds of damage less those of the threshold."""
        import torch

        from clearsight.restore.sense import KINDS

        assert network is not None
        columns = [DAMAGE.index(kind) for kind in self.damage]
        intact = 1.0 - network(images[0])[:, :KINDS][:, columns]
        none = intact.clamp(1e-6, 1.0 - 1e-6).log().sum(dim=1)
        over = (-torch.expm1(none)).log() - none - log(self.threshold / (1.0 - self.threshold))
        return torch.stack([torch.zeros_like(over), over], dim=1)
