"""The figure that papers on super-resolution report: PSNR of the luminance of 8-bit images."""

from __future__ import annotations

from torch import Tensor

from clearsight.data.finite import refuse_non_finite
from clearsight.restore.ops.resize import to_8_bit
from clearsight.restore.quality.psnr_ssim import luminance, psnr


def y_psnr(restored: Tensor, target: Tensor, scale: int) -> Tensor:
    """Return the PSNR of each enlarged image on Y, the protocol of SRCNN, VDSR and their successors.

    Both are rounded to 8 bits, then turned into the luma of BT.601 in studio range (not rounded again, peak
    255); ``scale`` pixels are left out at every side. Targets are cropped to a multiple of the scale
    beforehand, see `cropped`.

    Args:
        restored: (n, 3 or 1, h, w) in [0, 1].
        target: the same shape.
        scale: by how much the image was enlarged.

    Returns:
        (n,) in dB.

    Raises:
        ShapeError: the shapes differ, or nothing is left inside the border.
        DataError: an image holds values that are not finite.
    """
    # Rounding to 8 bits would hide an overflow.
    for images in (restored, target):
        refuse_non_finite(images, "its values are", where="y_psnr")
    return psnr(luminance(to_8_bit(restored)), luminance(to_8_bit(target)), border=scale)


def cropped(x: Tensor, scale: int) -> Tensor:
    """Cut (n, c, h, w) at the bottom and right to a multiple of the scale, as all papers do."""
    return x[:, :, : x.shape[2] - x.shape[2] % scale, : x.shape[3] - x.shape[3] % scale]
