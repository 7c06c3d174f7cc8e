"""`RestorerSpec`: the description of a restorer. The module that runs it: ``restore/restorer.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from clearsight.data.contract.spec import Flow, Gradient, PartSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images, PerImage, ScaledImages
    from clearsight.restore.restorer import Restorer


@dataclass(frozen=True)
class RestorerFacts:
    """What a user and the tiling must know.

    Attributes:
        scale: output size / input size.
        channels: accepted numbers of channels.
        minimum: smallest height and width in pixels (smaller ones are padded up to it).
        multiple_of: height and width are padded up to a multiple of this, and the result is cropped.
        receptive_field: side in input pixels of the square, around the pixel, that one output pixel depends
            on; None where it is unbounded (global statistics) or depends on a grid fixed to the image's
            corner (JPEG blocks), so that tiles cannot equal the whole.
    """

    scale: int = 1
    channels: tuple[int, ...] = (1, 3)
    minimum: int = 1
    multiple_of: int = 1
    receptive_field: int | None = None


class RestorerSpec(PartSpec):
    """Base of restorers written in torch. A subclass adds ``kind``, fields, facts and a hook.

    A classical method overrides ``restore``; a trained one defines its ``network``, sets ``trainable`` and
    needs nothing else.
    """

    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)
    gives: ClassVar[Flow] = Flow.IMAGES

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts for these fields."""
        return RestorerFacts()

    def prepared(self, x: Images) -> Self:
        """Hook: return this restorer with everything fixed that it would estimate from the whole image.

        Tiles are restored with the result; by default there is nothing to estimate.

        Args:
            x: one image (1, c, h, w), padded as ``restore`` gets it.
        """
        return self

    def network(self) -> nn.Module | None:
        """Hook: return the module that ``restore`` runs, or None where it needs none.

        A trained method returns its network with fresh weights; a classical one may return a module without
        parameters that holds fixed kernels as non-persistent buffers.
        """
        return None

    def restore(self, x: Images, network: nn.Module | None) -> ScaledImages:
        """Hook: return restored images; ``x`` is padded as the facts ask and must not be changed in place."""
        return self.computed(network, x)

    def noise(self, x: Images) -> PerImage | None:
        """Hook: return the noise level of each image for ``restore_told``, or None to call ``restore``.

        Asked before images are padded: the flat strips that padding adds look like places without noise.

        Args:
            x: whole images (n, c, h, w), not padded.
        """
        return None

    def restore_told(self, x: Images, network: nn.Module | None, sigma: PerImage) -> ScaledImages:
        """Hook: as ``restore``, given the noise level of each image, which is ignored by default.

        Args:
            x: padded images (n, c, h, w).
            network: the module, if there is one.
            sigma: (n, 1, 1, 1), standard deviation of the noise for values in [0, 1].
        """
        return self.restore(x, network)

    def computed(self, network: nn.Module | None, *inputs: Tensor) -> ScaledImages:
        """Return what the network gives for these inputs.

        Raises:
            NotImplementedError: there is none: the class lacks ``restore`` or ``network``.
        """
        if network is None:
            raise NotImplementedError(f"{type(self).__name__} defines neither 'restore' nor 'network'")
        out: ScaledImages = network(*inputs)
        return out

    def randomized(
        self, x: Images, network: nn.Module | None, generators: Sequence[torch.Generator]
    ) -> ScaledImages:
        """Hook: ``restore`` of a restorer that draws random numbers; called only where ``stochastic``.

        Args:
            x: padded images (n, c, h, w), not to be changed in place.
            network: the module, if there is one.
            generators: one per image, on the CPU; an image's result depends on its own generator alone.
        """
        raise NotImplementedError

    def surrogate(self, x: Images, network: nn.Module | None) -> ScaledImages:
        """Hook: return the differentiable stand-in; only where ``gradient`` is SURROGATE."""
        raise NotImplementedError

    def build(self) -> Restorer:
        """Return the module that runs this spec, with its weights loaded, in eval mode."""
        from clearsight.restore.restorer import Restorer

        return Restorer(self)


class ArrayRestorerSpec(RestorerSpec):
    """Base of restorers that work on one numpy image at a time (OpenCV, scikit-image, scipy).

    Autograd stops at them, so ``gradient`` is SURROGATE (with a hook ``surrogate``) or BLOCKED.
    """

    gradient: ClassVar[Gradient] = Gradient.SURROGATE
    onnx: ClassVar[str] = "it runs on numpy arrays"

    def restore_array(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Hook: return the restored image; (h, w, c) float32 in [0, 1] in and out."""
        raise NotImplementedError

    def restore(self, x: Images, network: nn.Module | None) -> ScaledImages:
        """Run ``restore_array`` on a copy of every image of the batch, on the CPU, in float32."""
        import numpy as np
        import torch

        # A copy even where the layout would allow a view: the hook may write into its argument.
        images = np.array(x.detach().permute(0, 2, 3, 1).cpu().numpy(), dtype=np.float32, order="C")
        restored = np.stack([self.restore_array(image) for image in images])
        out = torch.from_numpy(np.ascontiguousarray(restored, dtype=np.float32))
        return out.permute(0, 3, 1, 2).contiguous().to(device=x.device, dtype=x.dtype)
