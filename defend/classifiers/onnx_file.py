"""A classifier in an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.onnx_part import OnnxPart
from clearsight.defend.foreign import ForeignClassifier

if TYPE_CHECKING:
    from clearsight.data.onnx_session import OnnxNetwork


class OnnxFile(OnnxPart, ForeignClassifier):
    """A classifier, or a whole pipeline, that onnxruntime runs: RGB images to logits (n, classes).

    Files of ``clearsight export`` name their classes. Images are float32 in [0, 1] unless ``mean``, ``std``
    are given, or uint8; channels first or last.
    """

    purpose: ClassVar[str] = "a classifier in an ONNX file (scores only, no gradients)"

    kind: Literal["onnx"] = "onnx"
    output: Literal["logits", "probabilities", "log_probabilities"] = "logits"
    """What the file gives. Confidence, calibration and losses are computed from logits: of a network that
    ends in a softmax (usual for Keras) they would be those of a softmax of a softmax."""
    output_name: str | None = None
    """Name of the output, needed where the file has several of this form."""

    @model_validator(mode="before")
    @classmethod
    def _name_in_its_own_field(cls, value: Any) -> Any:
        # 'output' was once the name, and still is where it says no form.
        forms = (None, "logits", "probabilities", "log_probabilities")
        if isinstance(value, dict) and value.get("output") not in forms and "output_name" not in value:
            rest = {name: item for name, item in value.items() if name != "output"}
            return rest | {"output_name": value["output"]}
        return value

    def network(self) -> OnnxNetwork:
        """Open the file."""
        from clearsight.data.onnx_session import OnnxNetwork

        file = self._file()
        try:
            return OnnxNetwork(file, self.gives, output=self.output_name, device=self.device)
        except ConfigError:
            # One of several outputs may be called like its form: then the form names it.
            if self.output_name is not None or "output" not in self.model_fields_set:
                raise
        return OnnxNetwork(file, self.gives, output=self.output, device=self.device)

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
