"""Total-variation denoising."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images

BLOCK = 10
"""Iterations that are recomputed together in the backward pass."""


class TotalVariation(RestorerSpec):
    """Minimiser of ``|u - x|^2 / 2 + weight TV(u)`` (Rudin, Osher and Fatemi 1992).

    Solved in the dual by accelerated projected gradients (Beck and Teboulle 2009), a fixed number of
    iterations that autograd goes through. The variation of a colour image is that of the vector (r, g, b),
    so that edges stay aligned over channels.
    """

    kind: Literal["total_variation"] = "total_variation"
    purpose: ClassVar[str] = "removes noise from flat regions, may look like a cartoon"
    conditioning: ClassVar[frozenset[str]] = frozenset({"noise_level"})

    sigma: Annotated[Number, Field(gt=0, le=1)] = 25 / 255
    """Standard deviation of the noise, for values in [0, 1]."""
    strength: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Weight of the variation, in multiples of ``sigma``."""
    iterations: Annotated[int, Field(ge=1, le=500)] = 30
    """Steps of the solver."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: each step looks one pixel further."""
        return RestorerFacts(receptive_field=2 * (self.iterations + 1) + 1)

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the minimiser, as far as the iterations reach."""
        import torch

        from clearsight.restore.ops.filtering import thrifty

        weight = self.strength * self.sigma
        zero = torch.zeros_like(x)
        state: tuple[Tensor, ...] = (zero, zero, zero, zero)
        inertia = _inertia(self.iterations)
        for first in range(0, self.iterations, BLOCK):

            def block(x: Tensor, *state: Tensor, first: int = first) -> tuple[Tensor, ...]:
                for momentum in inertia[first : first + BLOCK]:
                    state = _step(x, state, weight, momentum)
                return state

            state = thrifty(block, x, *state)
        return x + weight * _divergence(state[0], state[1])


def _inertia(count: int) -> list[float]:
    """Return the momentum of each step of Nesterov's scheme."""
    out, t = [], 1.0
    for _ in range(count):
        following = (1.0 + (1.0 + 4.0 * t * t) ** 0.5) / 2.0
        out.append((t - 1.0) / following)
        t = following
    return out


def _step(x: Tensor, state: tuple[Tensor, ...], weight: float, momentum: float) -> tuple[Tensor, ...]:
    """Do one step on (down, right, extrapolated down, extrapolated right); 8 bounds |divergence|^2."""
    old_down, old_right, down, right = state
    slope_down, slope_right = _slopes(x + weight * _divergence(down, right))
    down, right = down + slope_down / (8.0 * weight), right + slope_right / (8.0 * weight)
    length = (down.square() + right.square()).sum(dim=1, keepdim=True).clamp_min(1.0).sqrt()
    down, right = down / length, right / length
    return down, right, down + momentum * (down - old_down), right + momentum * (right - old_right)


def _slopes(u: Tensor) -> tuple[Tensor, Tensor]:
    """Return forward differences, zero in the last row and column."""
    from torch.nn.functional import pad

    return pad(u[:, :, 1:] - u[:, :, :-1], (0, 0, 0, 1)), pad(u[..., 1:] - u[..., :-1], (0, 1))


def _divergence(down: Tensor, right: Tensor) -> Tensor:
    """Return the negative adjoint of `_slopes`."""
    from torch.nn.functional import pad

    rows = pad(down[:, :, :-1], (0, 0, 0, 1)) - pad(down[:, :, :-1], (0, 0, 1, 0))
    columns = pad(right[..., :-1], (0, 1)) - pad(right[..., :-1], (1, 0))
    return rows + columns
