"""A classifier in an ONNX file."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from clearsight.data.contract.errors import ConfigError
from clearsight.data.onnx_part import OnnxPart
from clearsight.defend.foreign import ForeignClassifier


class OnnxFile(OnnxPart, ForeignClassifier):
    """A classifier, or a whole pipeline, that onnxruntime runs: RGB images to logits (n, classes).

    Files of ``clearsight export`` name their classes. Images are float32 in [0, 1] unless ``mean``, ``std``
    are given, or uint8; channels first or last.
    """

    purpose: ClassVar[str] = "a classifier in an ONNX file (scores only, no gradients)"

    kind: Literal["onnx"] = "onnx"

    def resolved(self) -> Self:
        """Return this spec with ``classes`` and their names taken from the file, where the file says them.

        Raises:
            ConfigError: the file says another number, or its inputs and outputs do not fit.
            WeightsError: the file is missing, damaged or no ONNX model.
        """
        network = self.network()
        declared = network.classes
        if None not in (declared, self.classes) and declared != self.classes:
            raise ConfigError(
                f"the file gives {declared} classes, not {self.classes}",
                where=self.place,
                hint="leave 'classes' out",
            )
        if network.input.channels != 3:
            raise ConfigError("the file takes grey images, a classifier RGB images", where=self.place)
        plain = (self.mean, self.std, self.value_range) == ((0.0,) * 3, (1.0,) * 3, 1.0)
        if network.input.dtype == "uint8" and not plain:
            raise ConfigError(
                "the file takes uint8 images and normalises them itself",
                where=self.place,
                hint="leave 'mean', 'std' and 'value_range' out",
            )
        names = network.deployed.classes if network.deployed is not None else ()
        return self.model_copy(
            update={"classes": declared or self.classes, "class_names": self.class_names or names}
        )
