"""CIFAR-10 as published (Krizhevsky 2009), binary or python version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.sources.cifar import CifarSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clearsight.data.cifar import Layout


class Cifar10(CifarSource):
    """The exact 32x32 pixels of CIFAR-10. Both published versions give the same ids and contents."""

    kind: Literal["cifar10"] = "cifar10"
    purpose: ClassVar[str] = "CIFAR-10 as published, binary or python version"

    path: Annotated[str, Field(min_length=1)] = "cifar10"
    """The unpacked archive, or the folder it was unpacked in."""

    def layouts(self) -> Sequence[Layout]:
        """Return the layouts of both versions."""
        from clearsight.data.cifar import CIFAR10

        return CIFAR10
