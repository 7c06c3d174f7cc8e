"""A detector in an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.onnx_part import OnnxPart
from clearsight.defend.detector_base import DetectorSpec

if TYPE_CHECKING:
    from clearsight.defend.detector import RawDetector


class OnnxDetector(OnnxPart, DetectorSpec):
    """A detector that onnxruntime runs; its ``family`` says how images go in and what the outputs mean.

    ``yolox``: YOLOX as its authors export it (not decoded; images are BGR from 0 to 255, fitted into the
    network's size with a grey border). 80 classes without ``class_names`` are COCO's.
    """

    kind: Literal["onnx_detector"] = "onnx_detector"
    purpose: ClassVar[str] = "a detector in an ONNX file (boxes and scores, no gradients)"

    family: Literal["yolox"] = "yolox"
    """How the network was built."""
    size: Annotated[int, Field(ge=32, le=4096)] | None = None
    """Side of the network's images in pixels, where the file leaves it open."""

    def detector(self) -> RawDetector:
        """Open the file.

        Raises:
            WeightsError: the file is missing, damaged or no ONNX model.
            ConfigError: its inputs or outputs are not those of its family.
        """
        from clearsight.defend.yolox import YoloX

        return YoloX(self.network(), self.class_names, self.size, self.place)
