"""Richardson-Lucy deconvolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.restore.base import RestorerFacts, RestorerSpec
from clearsight.restore.ops.psf import GaussianKernel, Kernel

if TYPE_CHECKING:
    from torch import nn


class RichardsonLucySpec(RestorerSpec):
    """Maximum-likelihood deconvolution under Poisson noise (Richardson 1972, Lucy 1974).

    Values stay non-negative and the brightness is kept. It is stopped early: more iterations sharpen more
    and raise more noise.
    """

    kind: Literal["richardson_lucy"] = "richardson_lucy"
    purpose: ClassVar[str] = "undoes a known blur step by step, without negative values"
    conditioning: ClassVar[frozenset[str]] = frozenset({"kernel"})

    kernel: Kernel = GaussianKernel()
    """The blur that is undone."""
    iterations: Annotated[int, Field(ge=1, le=200)] = 20
    """Number of steps."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: each step blurs there and back."""
        side = self.kernel.taps().shape[0]
        return RestorerFacts(receptive_field=2 * self.iterations * (side - 1) + 1)

    def network(self) -> nn.Module:
        """Return the iteration with its kernel; nothing in it is learned."""
        from clearsight.restore.networks.deconvolution import RichardsonLucy

        return RichardsonLucy(self.kernel.taps(), self.iterations)
