"""`BlindDeconvolution`: what restorers share that find the blur in the image itself and then undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, cast

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.ops.psf import Kernel
from clearsight.restore.per_image import PerImageRestorer, seen_luma

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from clearsight.data.contract.types import Images

LEVELS = tuple(level / 255 for level in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64))
"""Noise levels that a deconvolution is made for. The least stands for rounding to 256 levels and a blur that
is only nearly the one found."""
SIGMA_OF_RADIUS = 0.65
"""Width of a Gaussian, in radii of the disk that blurs as much."""
MISFIT_RATIO = 2.5
NARROWEST = 1.75
"""From which ratio of misfits and from which radius on a blur counts as found."""


def found_kernel(
    luma: NDArray[np.floating],
    *,
    misfit_ratio: float = MISFIT_RATIO,
    narrowest: float = NARROWEST,
    motion: bool = True,
) -> Kernel | None:
    """Return the blur of an image that is alike everywhere, None where it shows none.

    Args:
        luma: (h, w) in [0, 1].
        misfit_ratio: how many times better than no blur the one that is found must explain the spectrum.
        narrowest: least radius in pixels of a disk (and of the Gaussian that blurs as much).
        motion: look for straight motion, too.
    """
    from clearsight.restore.ops.psf import DiskKernel
    from clearsight.restore.ops.spectral_blur import spectral_blur
    from clearsight.restore.ops.spectral_glass import spectral_glass
    from clearsight.restore.ops.spectral_motion import spectral_motion

    # First, because a moved image may pass for one out of focus, and none the other way round.
    if motion and (moved := spectral_motion(luma)) is not None:
        return moved
    found = spectral_blur(luma)
    if found.kernel is None or found.misfit_ratio < misfit_ratio:
        return None
    width = (
        found.kernel.radius if isinstance(found.kernel, DiskKernel) else found.kernel.sigma / SIGMA_OF_RADIUS
    )
    # What pixels displaced at random leave falls as steeply, but sharpening it brings out the displacement.
    return found.kernel if width >= narrowest and spectral_glass(luma) is None else None


class BlindDeconvolution(PerImageRestorer):
    """Base of restorers that find defocus, Gaussian or motion blur in each image, and spare sharp images.

    A disk of defocus leaves rings of zeros in the spectrum, whose distance tells its radius (Cannon 1976), a
    Gaussian a fall steeper than that of any photograph (see `clearsight.restore.ops.spectral_blur`), straight
    motion a ridge (`clearsight.restore.ops.spectral_motion`). Where one of them explains the spectrum much
    better than no blur, it is undone. Curved motion, and blur that changes over the image, are not looked
    for; images below 64 pixels stay as they are, and so do those whose pixels were displaced at random
    (`clearsight.restore.ops.spectral_glass`): these are not sharpened.

    Which blur is found has no gradient: the surrogate is the deconvolution that was chosen.
    """

    conditioning: ClassVar[frozenset[str]] = frozenset({"kernel", "noise_level"})

    kernel: Kernel | Literal["auto", "none"] = "auto"
    """The blur; ``auto`` looks for that of each image."""
    sigma: Annotated[Number, Field(gt=0, le=1)] | Literal["auto"] = "auto"
    """Standard deviation of the noise, for values in [0, 1]; ``auto`` estimates that of each image."""
    misfit_ratio: Annotated[Number, Field(ge=1)] = MISFIT_RATIO
    """How many times better than no blur the one that is found must explain the spectrum."""
    narrowest: Annotated[Number, Field(ge=1)] = NARROWEST
    """Radius in pixels of the narrowest disk that is undone (and of the Gaussian that blurs as much)."""
    motion: bool = True
    """Look for straight motion, too."""

    def undoing(self, kernel: Kernel, sigma: float) -> nn.Module:
        """Hook: return what undoes a known blur in images with noise of this level."""
        raise NotImplementedError

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the blur and the noise of the whole image, for its tiles."""
        return self.model_copy(update={"kernel": self._found(x) or "none", "sigma": self._noise(x)})

    def undone(self, image: Images) -> Images:
        """Return one image without the blur that was found in it."""
        kernel = self._found(image)
        if kernel is None:
            return image
        return cast("Images", self.undoing(kernel, self._noise(image)).to(image.device, image.dtype)(image))

    def _found(self, image: Images) -> Kernel | None:
        """Return the blur of one image (1, c, h, w), None where it is left alone."""
        if self.kernel != "auto":
            return None if self.kernel == "none" else self.kernel
        return found_kernel(
            seen_luma(image),
            misfit_ratio=self.misfit_ratio,
            narrowest=self.narrowest,
            motion=self.motion,
        )

    def _noise(self, image: Images) -> float:
        from clearsight.restore.ops.noise_level import estimate_sigma

        if self.sigma != "auto":
            return self.sigma
        estimate = estimate_sigma(image.detach()).item()
        return next((level for level in LEVELS if estimate <= level), LEVELS[-1])
