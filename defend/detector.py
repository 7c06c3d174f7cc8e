"""`Detector`: the module that runs any `DetectorSpec`; checks, detects, suppresses, clips."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.contract.part import Part, check_images
from clearsight.defend.box_matching import Floats
from clearsight.defend.detector_base import DetectorSpec
from clearsight.defend.suppression import suppressed

NUMBERS = 6
"""Numbers a box has: x, y, width, height, score, class."""
CANDIDATES = 1000
"""Boxes of an image that suppression looks at, those with the highest scores."""


class RawDetector(Protocol):
    """One image to boxes, before suppression."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes; their number is that of the classes."""

    def __call__(self, image: NDArray[np.float32]) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Return boxes (d, 4) as x, y, width, height in pixels of the image, scores (d,) and classes (d,).

        Args:
            image: (h, w, 3), RGB in [0, 1].
        """


class Detector(Part[DetectorSpec]):
    """Images (n, 1 or 3, h, w) in [0, 1] to boxes (n, max_boxes, 6), as `Flow.BOXES` says.

    Attributes:
        class_names: names of the classes; there are as many as the network knows.
    """

    def __init__(self, spec: DetectorSpec) -> None:
        """Open the network."""
        super().__init__(spec.resolved())
        self.detect = self.spec.detector()
        self.class_names = self.detect.class_names
        self.eval()

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    def forward(self, x: Tensor) -> Tensor:
        """Return the boxes, on the device of the images; no gradient flows back.

        An image for which the network gives values that are not finite gets boxes that are not finite.

        Raises:
            ShapeError: the images have another rank, type or number of channels.
            ConfigError: the network fails, or gives something else than its family does.
        """
        check_images(x, name=self.spec.name, channels=(1, 3))
        images = x.detach().float().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
        found = [self._one(np.ascontiguousarray(image)) for image in images]
        return torch.from_numpy(np.stack(found)).to(x.device)

    def _one(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        spec = self.spec
        boxes, scores, labels = self.detect(image)
        out = np.zeros((spec.max_boxes, NUMBERS), np.float32)
        out[:, 5] = -1.0
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            out[:] = np.nan
            return out
        good = np.flatnonzero(scores >= spec.score)
        good = good[np.argsort(-scores[good], kind="stable")[:CANDIDATES]]
        boxes = _inside(boxes[good], *image.shape[:2])
        scores, labels = scores[good], labels[good]
        some = (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
        boxes, scores, labels = boxes[some], scores[some], labels[some]
        kept = suppressed(boxes, labels, spec.overlap)[: spec.max_boxes]
        out[: len(kept)] = np.column_stack([boxes[kept], scores[kept], labels[kept]])
        return out


def _inside(boxes: Floats, height: int, width: int) -> Floats:
    """Return boxes (d, 4) clipped to an image; those outside get no area."""
    end = np.minimum(boxes[:, :2] + boxes[:, 2:], (width, height))
    start = np.maximum(boxes[:, :2], 0.0)
    return np.concatenate([start, (end - start).clip(min=0.0)], 1)
