"""`OnnxPart`: what a classifier and a restorer in an ONNX file have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import DataError, WeightsError
from clearsight.data.contract.spec import Gradient, PartSpec, content_key

if TYPE_CHECKING:
    from pathlib import Path

    from clearsight.data.onnx_session import OnnxNetwork


class OnnxPart(PartSpec):
    """A part that onnxruntime runs. A subclass says what it asks of the file.

    There are no gradients: attacks on scores or labels go through it, and ``threat: transfer`` makes images
    on another system. One thread adds up the sums, so that the results do not depend on the number of cores.
    """

    gradient: ClassVar[Gradient] = Gradient.BLOCKED
    onnx: ClassVar[str] = "it already is an ONNX file"
    gives: ClassVar[Literal["logits", "image"]]
    """What is asked of the file."""

    path: Annotated[str, Field(min_length=1)]
    """The file; a relative path is looked for as for data."""
    output: str | None = None
    """Name of the output, needed where the file gives several of this form."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where onnxruntime computes."""

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

    def network(self) -> OnnxNetwork:
        """Open the file."""
        from clearsight.data.onnx_session import OnnxNetwork

        return OnnxNetwork(self._file(), self.gives, output=self.output, device=self.device)

    def fingerprint(self) -> str:
        """Return a key of the fields and of what the file (and data files that it names) holds."""
        from clearsight.data.weights import digest

        path = self._file()
        # Where the file lies changes no result.
        fields = {name: value for name, value in self.resolved().identity().items() if name != "path"}
        parts = [path, *(path.parent / name for name in _data_files(path))]
        try:
            return content_key([fields, *map(digest, parts)])
        except OSError as error:
            raise WeightsError(f"cannot read it: {error}", where=self.place) from None

    def _file(self) -> Path:
        from clearsight.data.home import locate

        try:
            return locate(self.path)
        except DataError as error:
            raise WeightsError(error.what, where=self.place, hint="fix 'path'") from None


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
