"""Free energy of the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Energy(Measurement):
    """Mean free energy, -log(sum(exp(logits))) (Liu et al. 2020); needs no labels."""

    kind: Literal["energy"] = "energy"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="energy",
            label="Energy",
            digits=2,
            meaning="mean free energy of the logits",
        ),
    )
    purpose: ClassVar[str] = "mean free energy: low for images like those trained on"
    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the energies."""
        from clearsight.defend.uncertainty.sureness import energy

        return {"energy": energy(seen["logits"])}
