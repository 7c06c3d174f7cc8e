"""What a detector of attacked images says."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Suspicion(Measurement):
    """Mean suspicion of a system's detector of attacked images. It needs no labels.

    Only systems with a node that gives it have it. What it is worth says the table of detectors: how well it
    tells images that an attack turned from clean ones.
    """

    kind: Literal["suspicion"] = "suspicion"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="suspicion",
            label="Suspicion",
            better="lower",
            digits=3,
            meaning="mean of what the detector of attacked images says; low where nothing was attacked",
        ),
    )
    purpose: ClassVar[str] = "mean suspicion of a detector of attacked images"
    needs: ClassVar[frozenset[Need]] = frozenset({"suspicion"})

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the suspicion of each image."""
        return {"suspicion": seen["suspicion"]}
