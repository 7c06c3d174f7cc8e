"""`Part`: a torch module that can stand in a system, carrying the spec that describes it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import PartSpec

S = TypeVar("S", bound=PartSpec)


class Part(nn.Module, Generic[S]):
    """Base of restorers, classifiers and fusions.

    Attributes:
        spec: the description; its facts (``gives``, ``gradient``, ``onnx``, ...) are claims that tests check.
        streams: for a stochastic part, one stream per image of the next batch; None: fresh entropy.
    """

    streams: Sequence[Rng] | None = None

    def __init__(self, spec: S) -> None:
        """Keep the spec."""
        super().__init__()
        self.spec = spec

    def generators(self, count: int) -> list[torch.Generator]:
        """Return a generator for each of the ``count`` images of a batch; only stochastic parts ask.

        Raises:
            ShapeError: the streams that were given are of another number of images.
        """
        if self.streams is None:
            return [torch.Generator().manual_seed(secrets.randbits(63)) for _ in range(count)]
        if len(self.streams) != count:
            what = f"{len(self.streams)} random streams for {count} images"
            raise ShapeError(what, where=self.spec.name)
        return [stream.torch() for stream in self.streams]

    def surrogate(self, *inputs: Tensor) -> Tensor:
        """Return the differentiable stand-in that BPDA uses (Athalye et al. 2018), for the part's inputs.

        Raises:
            NotImplementedError: the part declares no surrogate.
        """
        raise NotImplementedError(f"{self.spec.name} declares gradient: {self.spec.gradient}")


def check_images(x: Tensor, *, name: str, channels: tuple[int, ...], minimum: int = 1) -> None:
    """Refuse anything but float images (n, c, h, w) that the part called ``name`` can take.

    Raises:
        ShapeError: wrong type, rank, channels or size. The value range is not checked here: it would cost a
            pass over the data in every part, and attacks and sources guarantee it where pixels enter.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ShapeError(f"expects float images (n, c, h, w), got {x.dtype} {tuple(x.shape)}", where=name)
    if x.shape[1] not in channels:
        takes = " or ".join(map(str, channels))
        raise ShapeError(f"takes {takes} channels, got {x.shape[1]}", where=name)
    if min(x.shape[2:]) < minimum:
        raise ShapeError(
            f"needs at least {minimum}x{minimum} pixels, got {x.shape[2]}x{x.shape[3]}",
            where=name,
            hint="enlarge the images first (data: {size: ...})",
        )
