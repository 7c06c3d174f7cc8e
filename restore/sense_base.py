"""`SenseSpec`: the description of a sense of degradation. The module that runs it: ``restore/sense.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from clearsight.data.contract.spec import Flow, PartSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.restore.sense import Sense

Damage = Literal["noise", "blur", "darkness", "overexposure", "low_contrast", "compression", "weather"]
DAMAGE: tuple[Damage, ...] = get_args(Damage)
"""What can be wrong with an image, in the order of the outputs. Haze is `low_contrast`, enlarged pixels
count as `compression`, snow, frost and drops on the lens as `weather`."""
OUTPUTS = 2 * len(DAMAGE) + 1
"""Presence of each, severity of each, and the noise level."""
NAMED = 0.5
"""Probability from which damage counts as named."""
MINIMUM = 16
"""Smallest height and width in pixels; smaller images are padded up to it."""


@dataclass(frozen=True)
class Sensed:
    """What a sense says of images; several kinds of damage can be on one of them.

    Attributes:
        presence: (n, kinds), probability that this kind of damage is present.
        severity: (n, kinds), its severity if present, 0 to 5, on the scale of the corruptions.
        noise_level: (n,), standard deviation of the noise for values in [0, 1]; 0 where there is none.
    """

    presence: Tensor
    severity: Tensor
    noise_level: Tensor


class SenseSpec(PartSpec):
    """Base of senses, which detect damage in images. A subclass adds ``kind``, fields and ``network``."""

    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)
    gives: ClassVar[Flow] = Flow.DAMAGE
    trainable: ClassVar[bool] = True

    def network(self) -> nn.Module:
        """Hook: return the network, RGB images (n, 3, h, w), even sides >= `MINIMUM`, to (n, `OUTPUTS`)."""
        raise NotImplementedError

    def build(self) -> Sense:
        """Return the module that runs this spec, with its weights loaded, in eval mode."""
        from clearsight.restore.sense import Sense

        return Sense(self)
