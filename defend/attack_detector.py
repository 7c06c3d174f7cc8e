"""`AttackDetector`: the module that runs any `AttackDetectorSpec`."""

from __future__ import annotations

from torch import Tensor

from clearsight.data.contract.part import Part
from clearsight.defend.attack_detector_base import AttackDetectorSpec


class AttackDetector(Part[AttackDetectorSpec]):
    """What a detector takes to how suspicious each image is, (n,)."""

    def __init__(self, spec: AttackDetectorSpec) -> None:
        """Build what the detector asks, switch to eval mode."""
        super().__init__(spec)
        self.network = spec.network()
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the suspicion of each image, more for images that look attacked."""
        return self.spec.suspicion(inputs, self.network)
