"""`DetectorSpec`: what every detector says of itself. The module is in ``defend/detector.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from clearsight.data.contract.spec import Flow, Number, PartSpec

if TYPE_CHECKING:
    from clearsight.defend.detector import Detector, RawDetector


class DetectorSpec(PartSpec):
    """Base of detectors. A subclass adds ``kind``, fields and ``detector``.

    Boxes of one class that overlap a better one by more than ``overlap`` are left out (non-maximum
    suppression); the ``max_boxes`` best of all classes remain.
    """

    takes: ClassVar[tuple[Flow, ...]] = (Flow.IMAGES,)
    gives: ClassVar[Flow] = Flow.BOXES

    class_names: tuple[str, ...] = ()
    """Names of the classes, in the order of the network's outputs."""
    score: Annotated[Number, Field(ge=0, lt=1)] = 0.01
    """Least score. Average precision needs the low ones too."""
    overlap: Annotated[Number, Field(gt=0, le=1)] = 0.65
    """Intersection over union with a better box of its class from which on a box is left out."""
    max_boxes: Annotated[int, Field(ge=1, le=1000)] = 100
    """Most boxes of an image."""

    @property
    def place(self) -> str:
        """Return what messages call this detector."""
        return self.name

    def detector(self) -> RawDetector:
        """Hook: return what turns one image into boxes before any suppression."""
        raise NotImplementedError

    def build(self) -> Detector:
        """Return the module that runs this spec, in eval mode."""
        from clearsight.defend.detector import Detector

        return Detector(self)
