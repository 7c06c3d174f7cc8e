"""`FilePart`: what parts that live in a file of the user's have in common, whatever the file's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import DataError, WeightsError
from clearsight.data.contract.spec import PartSpec, content_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class FilePart(PartSpec):
    """A part whose network and weights are in one file, and not in the weights store."""

    trainable: ClassVar[bool] = False
    contents: ClassVar[str]
    """What the file is called in messages, such as ``an ONNX file``."""
    without_effect: ClassVar[frozenset[str]] = frozenset({"path"})
    """Fields that change no result, and so no content key: where the file lies."""

    path: Annotated[str, Field(min_length=1)]
    """The file; a relative path is resolved like that of a data source."""

    @model_validator(mode="after")
    def _holds_its_weights(self) -> Self:
        if self.weights is not None:
            raise ValueError(f"{self.contents} holds its own weights: leave 'weights' out")
        return self

    @property
    def place(self) -> str:
        """Return the kind and the path."""
        return f"{self.name} '{self.path}'"

    def fingerprint(self) -> str:
        """Return a key of the fields and of the sha256 of the files.

        Raises:
            WeightsError: a file is missing or cannot be read.
        """
        from clearsight.data.weights import digest

        fields = {name: value for name, value in self.identity().items() if name not in self.without_effect}
        try:
            return content_key([fields, *map(digest, self._files())])
        except OSError as error:
            raise WeightsError(f"cannot read it: {error}", where=self.place) from None

    def _files(self) -> Sequence[Path]:
        """Return every file that results depend on."""
        return [self._file()]

    def _file(self) -> Path:
        """Return the file, or raise `WeightsError` where there is none."""
        from clearsight.data.home import locate

        try:
            return locate(self.path)
        except DataError as error:
            raise WeightsError(error.what, where=self.place, hint="fix 'path'") from None
