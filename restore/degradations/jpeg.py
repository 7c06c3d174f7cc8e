"""JPEG compression of a batch, each image with its own quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from clearsight.data.contract.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = 16
"""Pixels after which the blocks of an image with halved colour repeat."""


def jpeg(
    images: Tensor, qualities: NDArray[np.int64], halved: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> Tensor:
    """Write each image as a JPEG file in memory (libjpeg, through OpenCV) and read it again.

    Args:
        images: (n, c, h, w), c = 1 or 3; clipped to [0, 1] and rounded to 8 bits first.
        qualities: (n,), 1 to 100.
        halved: (n,), True for colour at half the resolution (4:2:0), False for full (4:4:4).
        offsets: (n, 2), rows and columns, 0 to 15, by which the grid of blocks is shifted: a patch is cut
            out of a photograph, where its corner is seldom that of a block.

    Returns:
        (n, c, h, w) in [0, 1], multiples of 1/255.

    Raises:
        DataError: OpenCV refuses an image.
    """
    levels = (images.clamp(0.0, 1.0) * 255.0).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    out = np.empty_like(levels)
    for i, image in enumerate(levels):
        out[i] = _through_file(image, int(qualities[i]), bool(halved[i]), offsets[i])
    back = torch.from_numpy(out).permute(0, 3, 1, 2).to(images.device)
    return (back.to(images.dtype) / 255.0).contiguous()


def _through_file(
    image: NDArray[np.uint8], quality: int, halved: bool, offset: NDArray[np.int64]
) -> NDArray[np.uint8]:
    colour = image.shape[2] == 3
    top, left = int(offset[0]) % GRID, int(offset[1]) % GRID
    # OpenCV stores blue first.
    stored = np.ascontiguousarray(image[..., ::-1])
    moved = cv2.copyMakeBorder(stored, top, 0, left, 0, cv2.BORDER_REFLECT) if top or left else stored
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved and colour else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    done, file = cv2.imencode(".jpg", moved, options)
    decoded = cv2.imdecode(file, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE) if done else None
    if decoded is None:
        raise DataError(f"an image {image.shape} cannot be written as JPEG", where="jpeg")
    read: NDArray[np.uint8] = decoded.reshape(*moved.shape[:2], -1)[top:, left:, ::-1].astype(np.uint8)
    return read


def jpeg_on_device(images: Tensor, qualities: NDArray[np.int64]) -> Tensor:
    """Imitate JPEG with 4:2:0 colour on the images' device: kornia's codec, without the entropy coding.

    It differs from libjpeg's by about one grey level, for it does not round to 8 bits in between. Seven times
    slower than `jpeg` on a CPU, much faster than copying from an accelerator and back.

    Args:
        images: (n, c, h, w), c = 1 or 3; clipped to [0, 1].
        qualities: (n,), 1 to 100.

    Returns:
        (n, c, h, w) in [0, 1].
    """
    from kornia.enhance import jpeg_codec_differentiable

    channels = images.shape[1]
    colour = images.clamp(0.0, 1.0).expand(-1, 3, -1, -1)
    coded: Tensor = jpeg_codec_differentiable(colour, torch.from_numpy(qualities).to(images))
    coded = coded.clamp(0.0, 1.0)
    return coded if channels == 3 else coded.mean(dim=1, keepdim=True)
