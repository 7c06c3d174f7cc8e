"""Feature squeezing: an answer that a restorer in front changes is suspicious."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import Flow
from clearsight.defend.attack_detector_base import AttackDetectorSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


class FeatureSqueezing(AttackDetectorSpec):
    """The largest L1 distance between the probabilities of an image and of its squeezed versions.

    After Xu et al. 2018. Its first input is the logits of the image as it is, each further one those of the
    image behind a restorer: fewer grey levels, a median, a denoiser. It is known to fall to attackers who
    know it (He et al. 2017).
    """

    kind: Literal["feature_squeezing"] = "feature_squeezing"
    purpose: ClassVar[str] = "how far restorers in front move the answer"
    takes: ClassVar[tuple[Flow, ...]] = (Flow.LOGITS,)
    variadic: ClassVar[bool] = True

    def suspicion(self, inputs: Sequence[Tensor], network: nn.Module | None) -> Tensor:
        """Return the distance, 0 to 2.

        Args:
            inputs: logits (n, classes) of the image and of its squeezed versions.
            network: none.

        Raises:
            ShapeError: there is no squeezed version.
        """
        import torch

        if len(inputs) < 2:
            raise ShapeError(
                "compares an image with squeezed versions of it, and got none",
                where=self.name,
                hint="feed it the logits of the image, and those behind one restorer or more",
            )
        plain, *squeezed = (logits.softmax(1) for logits in inputs)
        return torch.stack([(each - plain).abs().sum(1) for each in squeezed]).amax(0)
