"""Denoises only what is noisy, by a classical estimate of the noise level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.pipelines.systems.gates.base import GateSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


class NoiseGate(GateSpec):
    """The restored image where the estimated noise level reaches ``threshold``, the untouched one elsewhere.

    The estimate is that of ``sigma: auto`` (wavelet details of the quietest places): no network, no weights.
    It detects noise only: images with other damage pass untouched.
    """

    kind: Literal["noise_gate"] = "noise_gate"
    purpose: ClassVar[str] = "restore only images whose estimated noise level is high"

    threshold: Annotated[Number, Field(gt=0, lt=1)] = 5 / 255
    """Standard deviation from which the restored image is taken, for values in [0, 1]."""

    def branches(self) -> int:
        """Return two: the image and the restored one."""
        return 2

    def scores(self, images: Sequence[Tensor], network: nn.Module | None) -> Tensor:
        """Return 0 for the image; for the restored one, noise over threshold, less one."""
        import torch

        from clearsight.restore.ops.noise_level import estimate_sigma

        over = estimate_sigma(images[0])[:, 0, 0, 0] / self.threshold - 1.0
        return torch.stack([torch.zeros_like(over), over], dim=1)
