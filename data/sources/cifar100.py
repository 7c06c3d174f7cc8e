"""CIFAR-100 as published (Krizhevsky 2009), binary or python version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.sources.cifar import CifarSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clearsight.data.cifar import Layout


class Cifar100(CifarSource):
    """The exact 32x32 pixels of CIFAR-100. Both published versions give the same ids and contents."""

    kind: Literal["cifar100"] = "cifar100"
    purpose: ClassVar[str] = "CIFAR-100 as published, binary or python version"

    path: Annotated[str, Field(min_length=1)] = "cifar100"
    """The unpacked archive, or the folder it was unpacked in."""
    labels: Literal["fine", "coarse"] = "fine"
    """The 100 classes, or the 20 superclasses."""

    def layouts(self) -> Sequence[Layout]:
        """Return the layouts of both versions, with the labels that are asked for."""
        from clearsight.data.cifar import cifar100

        return cifar100(self.labels)
