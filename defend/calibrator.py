"""`Calibrator`: the module that runs any `CalibratorSpec`."""

from __future__ import annotations

from torch import Tensor

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.part import Part
from clearsight.defend.calibrator_base import CalibratorSpec


class Calibrator(Part[CalibratorSpec]):
    """Logits (n, classes) to calibrated logits of the same shape."""

    def __init__(self, spec: CalibratorSpec) -> None:
        """Load what was fitted, switch to eval mode."""
        resolved = spec.resolved()
        super().__init__(resolved)
        for name, value in resolved.tensors().items():
            self.register_buffer(name, value)
        self.eval()

    def forward(self, logits: Tensor) -> Tensor:
        """Return calibrated logits.

        Raises:
            ShapeError: no logits, or of another number of classes than those it was fitted for.
        """
        if logits.ndim != 2 or not logits.is_floating_point():
            what = f"expects logits (n, classes), got {logits.dtype} {tuple(logits.shape)}"
            raise ShapeError(what, where=self.spec.name)
        return self.spec.calibrate(logits, dict(self.named_buffers()))
