"""`OnnxPart`: what a classifier and a restorer in an ONNX file have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.spec import Gradient
from clearsight.data.file_part import FilePart

if TYPE_CHECKING:
    from pathlib import Path

    from clearsight.data.onnx_session import OnnxNetwork


class OnnxPart(FilePart):
    """A part that onnxruntime runs. Its ``gives`` says which form of output the file must have.

    There are no gradients: attacks on scores or labels go through it, and ``threat: transfer`` makes images
    on another system. It runs in one thread, so that the results do not depend on the number of cores.
    """

    gradient: ClassVar[Gradient] = Gradient.BLOCKED
    onnx: ClassVar[str] = "it already is an ONNX file"
    contents: ClassVar[str] = "an ONNX file"

    output: str | None = None
    """Name of the output, needed where the file has several of this form."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where onnxruntime computes."""

    def ready(self) -> None:
        """Raise `WeightsError` unless the file is there."""
        self._file()

    def network(self) -> OnnxNetwork:
        """Open the file."""
        from clearsight.data.onnx_session import OnnxNetwork

        return OnnxNetwork(self._file(), self.gives, output=self.output, device=self.device)

    def _files(self) -> list[Path]:
        path = self._file()
        return [path, *(path.parent / name for name in _data_files(path))]


def _data_files(path: Path) -> list[str]:
    """Return the names of the files beside an ONNX file that hold some of its tensors."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        raise WeightsError("it is damaged, or not an ONNX file", where=str(path)) from None
    external = [tensor for tensor in model.graph.initializer if tensor.data_location == tensor.EXTERNAL]
    return sorted(
        {item.value for tensor in external for item in tensor.external_data if item.key == "location"}
    )
