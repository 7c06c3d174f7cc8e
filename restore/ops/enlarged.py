"""The bound on what enlarging makes of an image, asked before anything is computed."""

from __future__ import annotations

from clearsight.data.contract.errors import DataError
from clearsight.data.media.images import MAX_PIXELS


def refuse_huge(height: int, width: int, scale: int, *, where: str) -> None:
    """Refuse an image that would have more pixels than a file may have that is read.

    Args:
        height: in pixels.
        width: in pixels.
        scale: factor by which both are enlarged, of one restorer or of a whole chain.
        where: the restorer or chain, for the message.

    Raises:
        DataError: the result would have more than `MAX_PIXELS` pixels.
    """
    pixels = height * width * scale * scale
    if scale > 1 and pixels > MAX_PIXELS:
        raise DataError(
            f"{width}x{height} pixels enlarged {scale} times are {pixels:,}, more than the limit of"
            f" {MAX_PIXELS:,}",
            where=where,
            hint="enlarge less, or cut the image first",
        )
