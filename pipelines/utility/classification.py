"""Images whose purpose is to be classified."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.spec import Flow
from clearsight.pipelines.utility.base import PerImage


class Classification:
    """Outputs are logits (n, classes), truths are class indices (n,)."""

    flow = Flow.LOGITS
    primary = "correct"

    def loss(self, outputs: Tensor, truths: Tensor) -> Tensor:
        """Return the cross-entropy of each image, (n,)."""
        return functional.cross_entropy(outputs, truths, reduction="none")

    def right(self, outputs: Tensor, truths: Tensor) -> Tensor:
        """Return where the most probable class is the true one, bool (n,)."""
        # The class of the largest probability, not logit: rounding of the softmax can make a tie.
        return outputs.softmax(1).max(1).indices == truths


CLASSES: PerImage = Classification()
