"""Any restoration checkpoint that the library spandrel knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import WeightsError
from clearsight.data.file_part import FilePart
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

SUFFIXES = (".safetensors", ".pth")


class SpandrelCheckpoint(FilePart, RestorerSpec):
    """A published restoration network (ESRGAN, SwinIR, NAFNet, SPAN, DnCNN, SCUNet, ...) from its file.

    The architecture is recognised by the names and shapes of the tensors. The gradient is that of the
    network, which is exact for all but those that quantise inside (RestoreFormer). Networks with a noise map
    are given 15/255. Needs ``pip install clearsight[spandrel]``; torchvision, which spandrel requires, is not
    needed to run: ``pip install einops && pip install --no-deps spandrel`` does without.
    """

    onnx: ClassVar[str] = "what a foreign network's operations export to is not known beforehand"
    contents: ClassVar[str] = "the checkpoint"
    without_effect: ClassVar[frozenset[str]] = frozenset({"path", "sha256"})
    purpose: ClassVar[str] = "a published network's checkpoint (pip install clearsight[spandrel])"

    kind: Literal["spandrel"] = "spandrel"
    path: Annotated[str, Field(min_length=1)]
    """Checkpoint, ``.safetensors`` (preferred) or ``.pth``, from which only tensors are read; a relative path
    is looked up like those of data."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Refuse the file unless this is its checksum."""

    @property
    def facts(self) -> RestorerFacts:
        """Return what spandrel knows of the network; the receptive field is not known."""
        from clearsight.restore.networks.spandrel import load

        network = load(self._file())
        return RestorerFacts(
            scale=network.scale,
            channels=(network.channels,),
            minimum=network.minimum,
            multiple_of=network.multiple_of,
        )

    def ready(self) -> None:
        """Raise `ClearsightError` unless spandrel is installed and knows what the file holds.

        Unlike in other parts, this imports torch: only the network's constructor can tell whether it fits.
        """
        from clearsight.restore.networks.spandrel import load

        load(self._file())

    def network(self) -> nn.Module:
        """Return the network with the checkpoint's weights."""
        from clearsight.restore.networks.spandrel import load

        return load(self._file())

    def _file(self) -> Path:
        from clearsight.data.weights import digest

        path = super()._file()
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            raise WeightsError(f"is no {' or '.join(SUFFIXES)} file", where=self.place)
        if self.sha256 is not None and digest(path) != self.sha256:
            raise WeightsError(
                "sha256 differs from the one in the config",
                where=self.place,
                hint="the file is damaged or another one",
            )
        return path
