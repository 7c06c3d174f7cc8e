"""Zoom blur, found in the image itself and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.per_image import PerImageRestorer, seen_luma

if TYPE_CHECKING:
    from clearsight.data.contract.types import Images
    from clearsight.restore.ops.spectral_zoom import FoundZoom


class ZoomDeblur(PerImageRestorer):
    """Finds the blur of a lens that zoomed, or of driving straight ahead, and undoes it; other images stay.

    The spectrum along rays from the middle of the image tells by what factor it was enlarged (see
    `clearsight.restore.ops.spectral_zoom`). The blur is then a known linear map, which is inverted by least
    squares with a penalty on the Laplacian (Hunt 1973), solved by conjugate gradients. Images in which
    defocus, Gaussian blur or straight motion is found (as `blind_wiener` finds it) are left to it, so this
    restorer stands before it in a chain.

    Which zoom is found has no gradient: the surrogate is the inversion that was chosen. Images below 64
    pixels stay as they are, and so do those that zoomed about another point.
    """

    kind: Literal["zoom_deblur"] = "zoom_deblur"
    purpose: ClassVar[str] = "undoes zoom blur that it finds; leaves other images alone"

    factor: Annotated[Number, Field(gt=1, le=4)] | Literal["auto"] = "auto"
    """Enlargement at the end of the exposure, where it was 1 at the beginning; ``auto`` looks for that of
    each image, between 1.06 and 1.6."""
    still: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the exposure before the zoom began, of a factor that is given."""
    ripples: Annotated[Number, Field(gt=0)] = 1.1
    """Size of the ripples in the logarithmic spectrum from which on an image counts as zoomed."""
    slope_ratio: Annotated[Number, Field(gt=0)] = 1.0
    """Slope along the rays, in that across them, up to which an image counts as zoomed. Of 650 sharp training
    photographs none passed both."""
    smoothness: Annotated[Number, Field(gt=0)] = 3e-3
    """Weight of the penalty."""
    iterations: Annotated[int, Field(ge=1, le=200)] = 8
    """Steps of the conjugate gradients."""
    copies: Annotated[int, Field(ge=2, le=100)] = 8
    """Enlargements that stand for the whole exposure."""

    def undone(self, image: Images) -> Images:
        """Return one image without the zoom that was found in it."""
        from clearsight.restore.networks.zoom import ZoomBlur, unzoomed

        found = self._found(image)
        if found is None:
            return image
        blur = ZoomBlur(found.factor, found.still, self.copies, image)
        return unzoomed(image, blur, smoothness=self.smoothness, iterations=self.iterations)

    def _found(self, image: Images) -> FoundZoom | None:
        """Return the zoom of one image (1, c, h, w), None where it is left alone."""
        from clearsight.restore.blind_deconvolution import found_kernel
        from clearsight.restore.ops.spectral_zoom import FoundZoom, spectral_zoom

        if self.factor != "auto":
            return FoundZoom(self.factor, self.still, 0.0, 0.0)
        seen = seen_luma(image)
        found = spectral_zoom(seen)
        if found is None or found.ripples < self.ripples or found.slope_ratio > self.slope_ratio:
            return None
        # Last, because it takes longest, and few images come so far.
        return found if found_kernel(seen) is None else None
