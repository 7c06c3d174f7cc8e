"""`Restorer`: the module that runs any `RestorerSpec`; checks, pads, restores, crops and clamps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn
from torch.nn import functional

from data.contract.part import Part, check_images
from data.weights import state

if TYPE_CHECKING:
    from restore.base import RestorerSpec


class Restorer(Part):
    """A restoration step: images (n, c, h, w) in [0, 1] to images (n, c, h * scale, w * scale) in [0, 1]."""

    def __init__(self, spec: RestorerSpec) -> None:
        """Build the network, load its weights, switch to eval mode."""
        resolved = cast("RestorerSpec", spec.resolved())
        super().__init__(resolved)
        self.facts = resolved.facts
        self.network = resolved.network()
        if self.network is not None and resolved.weights is not None:
            self.network.load_state_dict(state(resolved.weights), strict=True)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Raises:
            ShapeError: the images do not fit the facts.
        """
        return self._run(x, cast("RestorerSpec", self.spec).restore)

    def surrogate(self, x: Tensor) -> Tensor:
        """Return the declared differentiable stand-in for ``forward``, with the same shape."""
        return self._run(x, cast("RestorerSpec", self.spec).surrogate)

    def _run(self, x: Tensor, hook: Callable[[Tensor, nn.Module | None], Tensor]) -> Tensor:
        check_images(x, name=self.spec.name, channels=self.facts.channels)
        height, width = x.shape[2:]
        out = hook(pad(x, minimum=self.facts.minimum, multiple_of=self.facts.multiple_of), self.network)
        scale = self.facts.scale
        return out[:, :, : height * scale, : width * scale].clamp(0.0, 1.0)


def pad(x: Tensor, *, minimum: int, multiple_of: int) -> Tensor:
    """Replicate the bottom and right edges up to ``minimum`` and a multiple of ``multiple_of``."""
    height, width = x.shape[2:]
    need = -(-minimum // multiple_of) * multiple_of
    bottom = (multiple_of - height % multiple_of) % multiple_of
    right = (multiple_of - width % multiple_of) % multiple_of
    bottom, right = max(bottom, need - height), max(right, need - width)
    if bottom == 0 and right == 0:
        return x
    return functional.pad(x, (0, right, 0, bottom), mode="replicate")
