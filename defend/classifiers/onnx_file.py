"""A classifier in an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from data.contract.errors import ConfigError, DataError, WeightsError
from data.contract.spec import Gradient, content_key
from defend.base import ClassifierSpec, Triple

if TYPE_CHECKING:
    from pathlib import Path

    from defend.nets.onnx_session import OnnxSession


class OnnxFile(ClassifierSpec):
    """A classifier that onnxruntime runs: float32 images (n, 3, h, w) to logits (n, classes).

    The images are in [0, 1] unless ``mean`` and ``std`` are given. There are no gradients, so only attacks
    that see scores or labels can be run through it. One thread adds up the sums, so that the results do not
    depend on the number of cores.
    """

    gradient: ClassVar[Gradient] = Gradient.BLOCKED
    onnx: ClassVar[str] = "it already is an ONNX file"
    purpose: ClassVar[str] = "a classifier in an ONNX file (scores only, no gradients)"

    kind: Literal["onnx"] = "onnx"
    path: Annotated[str, Field(min_length=1)]
    """The file; a relative path is looked for as for data."""
    output: str | None = None
    """Name of the output with the logits, needed where the file has several."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where onnxruntime computes."""
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _holds_its_weights(self) -> Self:
        if self.weights is not None:
            raise ValueError("an ONNX file holds its own weights: leave 'weights' out")
        return self

    @property
    def place(self) -> str:
        """Return the kind and the path."""
        return f"{self.name} '{self.path}'"

    def ready(self) -> None:
        """Raise `WeightsError` unless the file is there."""
        self._file()

    def resolved(self) -> OnnxFile:
        """Return this spec with ``classes`` taken from the file, where the file says it.

        Raises:
            ConfigError: the file says another number, or its inputs and outputs do not fit.
            WeightsError: the file is missing, damaged or no ONNX model.
        """
        declared = self.network().classes
        if None not in (declared, self.classes) and declared != self.classes:
            raise ConfigError(
                f"the file gives {declared} classes, not {self.classes}",
                where=self.place,
                hint="leave 'classes' out",
            )
        return self.model_copy(update={"classes": declared or self.classes})

    def network(self) -> OnnxSession:
        """Open the file."""
        from defend.nets.onnx_session import OnnxSession

        return OnnxSession(self._file(), output=self.output, device=self.device)

    def fingerprint(self) -> str:
        """Return a key of the fields and of what the file (and data files that it names) holds."""
        from data.weights import digest

        path = self._file()
        # Where the file lies changes no result.
        fields = {name: value for name, value in self.resolved().identity().items() if name != "path"}
        parts = [path, *(path.parent / name for name in _data_files(path))]
        try:
            return content_key([fields, *map(digest, parts)])
        except OSError as error:
            raise WeightsError(f"cannot read it: {error}", where=self.place) from None

    def _file(self) -> Path:
        from data.home import locate

        try:
            return locate(self.path)
        except DataError as error:
            raise WeightsError(error.what, where=self.place, hint="mend 'path'") from None


def _data_files(path: Path) -> list[str]:
    """Return the names of the files beside an ONNX file that hold tensors of it."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        raise WeightsError("it is damaged, or no ONNX file", where=str(path)) from None
    external = [tensor for tensor in model.graph.initializer if tensor.data_location == tensor.EXTERNAL]
    return sorted(
        {item.value for tensor in external for item in tensor.external_data if item.key == "location"}
    )
