"""YOLOX (Ge et al. 2021): what its exported networks take, and what their raw outputs mean."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.data.contract.errors import ConfigError
from clearsight.data.onnx_session import OnnxNetwork
from clearsight.defend.box_matching import Floats
from clearsight.defend.coco_classes import COCO_CLASSES

STRIDES = (8, 16, 32)
"""Pixels between the places of its three grids."""
FILL = 114.0
"""Grey level of the border that makes an image square."""
FURTHER = 5
"""Numbers of a place beside the scores of its classes: its box, and the score of any object."""
LARGEST = 15.0
"""Logarithm of the largest side in strides that is decoded; no image is larger, and exp stays finite."""


class YoloX:
    """A YOLOX network in an ONNX file: one image to all of its boxes.

    The network takes BGR images from 0 to 255, resized into the upper left corner of its own size with grey
    around them, and gives (1, places, 5 + classes): centre and logarithmic size relative to the place of a
    grid, the score of any object, and a score of each class.
    """

    def __init__(
        self, network: OnnxNetwork, class_names: tuple[str, ...], size: int | None, where: str
    ) -> None:
        """Keep the network.

        Args:
            network: the file's.
            class_names: of the outputs; empty for numbers.
            size: side of the network's images where the file leaves it open.
            where: what messages call it.

        Raises:
            ConfigError: the file takes no such images, or has another number of classes.
        """
        self._network, self._where = network, where
        self.height, self.width = _sides(network, size, where)
        self._grid = _grid(self.height, self.width)
        classes = self._raw(np.full((self.height, self.width, 3), FILL, np.float32)).shape[1] - FURTHER
        known = class_names or (COCO_CLASSES if classes == len(COCO_CLASSES) else ())
        if classes < 1 or (known and len(known) != classes):
            raise ConfigError(
                f"the file has {classes} classes, not {len(known) or 'one at least'}",
                where=where,
                hint="fix class_names, or the family",
            )
        self.class_names = known or tuple(map(str, range(classes)))

    def __call__(self, image: NDArray[np.float32]) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Return the box of every place (places, 4), its score and its class; see `RawDetector`."""
        square, factor = letterbox(image, self.height, self.width)
        raw = self._raw(square).astype(np.float64)
        places, strides = self._grid
        size = np.exp(raw[:, 2:4].clip(max=LARGEST)) * strides
        corner = (raw[:, :2] + places) * strides - size / 2
        labels = raw[:, FURTHER:].argmax(1)
        scores = raw[:, 4] * raw[:, FURTHER:].max(1)
        boxes: Floats = np.concatenate([corner, size], 1) / factor
        return boxes, scores, labels

    def _raw(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the network gives, (places, 5 + classes), for one image of its size in [0, 255]."""
        flipped = torch.from_numpy(np.ascontiguousarray(square[None, :, :, ::-1].transpose(0, 3, 1, 2)))
        raw: NDArray[np.float32] = self._network(flipped).numpy()
        places = len(self._grid[0])
        if raw.shape[:2] != (1, places):
            raise ConfigError(
                f"the network gives {raw.shape}, not (1, {places}, 5 + classes) as YOLOX does",
                where=self._where,
                hint="is it another family, or exported with its boxes decoded elsewhere?",
            )
        numbers: NDArray[np.float32] = raw[0]
        return numbers


def _sides(network: OnnxNetwork, size: int | None, where: str) -> tuple[int, int]:
    """Return height and width of the network's images.

    Raises:
        ConfigError: it takes no such images.
    """
    taken = network.input
    height, width = taken.height or size, taken.width or size
    if height is None or width is None:
        raise ConfigError("the file takes images of any size", where=where, hint="give 'size: 416'")
    if size is not None and (height, width) != (size, size):
        told = f"the file takes {height}x{width} pixels, not {size}x{size}"
        raise ConfigError(told, where=where, hint="leave 'size' out")
    if taken.channels != 3 or taken.dtype != "float32":
        raise ConfigError("the file takes no float32 images with three channels", where=where)
    if height % STRIDES[-1] or width % STRIDES[-1]:
        raise ConfigError(f"{height}x{width} pixels are no multiple of {STRIDES[-1]}", where=where)
    return height, width


def letterbox(image: NDArray[np.float32], height: int, width: int) -> tuple[NDArray[np.float32], float]:
    """Resize an image into the upper left corner of another size, as YOLOX was trained.

    Args:
        image: (h, w, 3) in [0, 1].
        height: of the result.
        width: of the result.

    Returns:
        (height, width, 3) in [0, 255], and the factor of both sides.
    """
    import cv2

    factor = min(height / image.shape[0], width / image.shape[1])
    new = max(1, int(image.shape[1] * factor)), max(1, int(image.shape[0] * factor))
    out = np.full((height, width, 3), FILL, np.float32)
    out[: new[1], : new[0]] = cv2.resize(image * np.float32(255), new, interpolation=cv2.INTER_LINEAR)
    return out, factor


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return x and y of every place in strides (places, 2), and its stride in pixels (places, 1)."""
    places, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([x.ravel(), y.ravel()], 1))
        strides.append(np.full((x.size, 1), stride))
    return np.concatenate(places).astype(np.float64), np.concatenate(strides).astype(np.float64)
