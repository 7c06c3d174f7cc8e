"""NIQE of the restored image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.column import Column
from clearsight.pipelines.metrics.base import Measurement, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from clearsight.pipelines.metrics.base import Seen


class Niqe(Measurement):
    """Mean distance of the image that reaches the classifier from natural photographs; lower is better.

    After Mittal et al. (2013), fitted on BSDS500's 400 training and test photographs: not comparable to
    published NIQE. Images need at least 96x96 pixels.
    """

    kind: Literal["niqe"] = "niqe"
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="niqe_out",
            label="NIQE (own)",
            better="lower",
            meaning="unlikeness to photographs; own fit, not comparable to published NIQE",
        ),
    )
    purpose: ClassVar[str] = "unlikeness to photographs (own NIQE, fitted on BSDS500)"
    needs: ClassVar[frozenset[Need]] = frozenset({"restored"})
    minimum: ClassVar[int] = 96

    def measure(self, seen: Seen) -> Mapping[str, Tensor]:
        """Return the distances."""
        from clearsight.restore.quality.niqe import niqe

        return {"niqe_out": niqe(seen["restored"])}
