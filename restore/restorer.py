"""`Restorer`: the module that runs any `RestorerSpec`; checks, pads, restores, crops and clamps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.part import Part, check_images
from clearsight.data.weights import load_into
from clearsight.restore.base import RestorerSpec
from clearsight.restore.ops.enlarged import refuse_huge
from clearsight.restore.ops.pad import pad


class Restorer(Part[RestorerSpec]):
    """A restoration step: images (n, c, h, w) in [0, 1] to images (n, c, h * scale, w * scale) in [0, 1]."""

    def __init__(self, spec: RestorerSpec) -> None:
        """Build the network, load its weights, switch to eval mode."""
        resolved = spec.resolved()
        super().__init__(resolved)
        self.facts = resolved.facts
        self.network = resolved.network()
        if self.network is not None and resolved.weights is not None:
            load_into(self.network, resolved.weights)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Raises:
            ShapeError: the images do not fit the facts.
        """
        spec = self.spec
        if not spec.stochastic:
            return self._run(x, self._hook(x))
        return self._run(x, lambda padded, net: spec.randomized(padded, net, self.generators(len(padded))))

    def surrogate(self, *inputs: Tensor) -> Tensor:
        """Return the declared differentiable stand-in for ``forward``, with the same shape."""
        (x,) = inputs
        return self._run(x, self.spec.surrogate)

    def restored(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Return what training compares: as ``forward``, but not clamped, for clamped pixels learn nothing.

        Args:
            x: (n, c, h, w).
            sigma: (n, 1, 1, 1) noise of each image, used by a network that takes a noise map.
        """
        spec = self.spec
        if sigma is None:
            return self._run(x, self._hook(x), clamp=False)
        return self._run(x, lambda padded, net: spec.restore_told(padded, net, sigma), clamp=False)

    def _hook(self, x: Tensor) -> Callable[[Tensor, nn.Module | None], Tensor]:
        """Return what restores these images once they are padded; what is asked of them is asked now."""
        spec = self.spec
        check_images(x, name=spec.name, channels=self.facts.channels)
        sigma = spec.noise(x)
        if sigma is None:
            return spec.restore
        return lambda padded, net: spec.restore_told(padded, net, sigma)

    def _run(
        self, x: Tensor, hook: Callable[[Tensor, nn.Module | None], Tensor], *, clamp: bool = True
    ) -> Tensor:
        check_images(x, name=self.spec.name, channels=self.facts.channels)
        height, width = x.shape[2:]
        scale = self.facts.scale
        # Symbolic sizes of an export cannot be compared.
        if not torch.compiler.is_compiling():
            refuse_huge(height, width, scale, where=self.spec.name)
        padded = pad(x, minimum=self.facts.minimum, multiple_of=self.facts.multiple_of)
        out = hook(padded, self.network)
        # Symbolic sizes cannot be compared here; the export is checked against this forward.
        if (
            not torch.compiler.is_compiling()
            and min(out.shape[2] - height * scale, out.shape[3] - width * scale) < 0
        ):
            raise ShapeError(
                f"returned {tuple(out.shape)} for {tuple(padded.shape)} and scale {scale}",
                where=self.spec.name,
            )
        out = out[:, :, : height * scale, : width * scale]
        if not clamp:
            return out
        if not torch.compiler.is_compiling():
            # The clamp would turn an overflow into plain white or black; NaN passes it and is refused later.
            out = out.where(out.isinf().logical_not(), torch.nan)
        return out.clamp(0.0, 1.0)
