"""`Sense`: the module that runs any `SenseSpec`; checks, pads, and scales outputs to their units."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.part import Part, check_images
from clearsight.data.weights import load_into
from clearsight.restore.ops.pad import pad
from clearsight.restore.sense_base import DAMAGE, MINIMUM, Sensed, SenseSpec

KINDS = len(DAMAGE)
STRONGEST = 5.0
"""Greatest severity."""
NOISE_UNIT = 0.1
"""Standard deviation that the value 1 of the noise-level output (after softplus) stands for."""


class Sense(Part[SenseSpec]):
    """Images (n, 1 or 3, h, w) in [0, 1] to the damage in them, (n, 2 kinds + 1).

    The columns: probability of each kind of damage, its severity (0 to 5), and the noise level (standard
    deviation for values in [0, 1]); `read` tells them apart.
    """

    def __init__(self, spec: SenseSpec) -> None:
        """Build the network, load its weights, switch to eval mode."""
        resolved = spec.resolved()
        super().__init__(resolved)
        self.network = resolved.network()
        if resolved.weights is not None:
            load_into(self.network, resolved.weights)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return what is wrong with each image.

        Raises:
            ShapeError: the images have another rank, type or number of channels.
        """
        presence, severity, noise = self.raw(x)
        return torch.cat([presence.sigmoid(), severity, noise[:, None]], dim=1)

    def raw(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of the presence (n, kinds), severities (n, kinds) and noise level (n,)."""
        check_images(x, name=self.spec.name, channels=(1, 3))
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        out = self.network(pad(x, minimum=MINIMUM, multiple_of=2))
        presence, severity, noise = out.split((KINDS, KINDS, 1), dim=1)
        return presence, STRONGEST * severity.sigmoid(), NOISE_UNIT * functional.softplus(noise[:, 0])


def read(outputs: Tensor) -> Sensed:
    """Return the outputs of a `Sense` by name."""
    return Sensed(outputs[:, :KINDS], outputs[:, KINDS : 2 * KINDS], outputs[:, 2 * KINDS])
