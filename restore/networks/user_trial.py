"""Trying a restorer that a user brings: does it do what its facts say?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng

EQUAL = 1e-4
"""Relative difference of outputs below which they are equal: that of the checks before a run."""
SIDE = 24
"""Least side of the images in pixels."""
STEP, WITHIN, DEAD = 0.1 / 255, (0.5, 1.5), 0.9
"""Root mean square step per pixel, range of measured / claimed slope, and share of zeros from which a
gradient counts as dead: those of the checks of attacks."""

Restore = Callable[[Tensor, Sequence[torch.Generator] | None], Tensor]


@dataclass(frozen=True)
class Claims:
    """What is claimed, and tried.

    Attributes:
        place: what messages call the part.
        channels: accepted numbers of channels.
        minimum: smallest side in pixels.
        multiple_of: what sides are multiples of.
        receptive_field: see `RestorerFacts`.
        stochastic: whether it draws numbers, from the generators that it is given alone.
        exact: whether autograd's gradient is claimed to be the slope.
    """

    place: str
    channels: tuple[int, ...]
    minimum: int
    multiple_of: int
    receptive_field: int | None
    stochastic: bool
    exact: bool


def try_claims(restore: Restore, claims: Claims) -> None:
    """Restore a few images of noise and compare with the claims.

    Args:
        restore: images (n, c, h, w) in [0, 1] and one generator each, to what the user's code makes of them;
            it refuses results of another form itself.
        claims: what is declared.

    Raises:
        ConfigError: a claim does not hold; the message says what to declare instead.
    """
    step = claims.multiple_of
    smallest = -(-claims.minimum // step) * step
    side = -(-max(SIDE, smallest) // step) * step
    for channels in claims.channels:
        x = _images(3, channels, side, side + step)
        streams = [Rng(0).at("trial", i) for i in range(len(x))] if claims.stochastic else None
        with torch.no_grad():
            _try_values(restore, x, streams, claims)
            restore(_images(1, channels, smallest, smallest), _draws(streams, (0,)))
            if claims.receptive_field is not None:
                _try_reach(restore, channels, streams, claims)
        if claims.exact:
            _try_gradient(restore, x, streams, claims)


def _try_values(restore: Restore, x: Tensor, streams: Sequence[Rng] | None, claims: Claims) -> None:
    places = range(len(x))
    out = restore(x, _draws(streams, places))
    if not out.isfinite().all():
        raise ConfigError("it gives values that are not finite", where=claims.place)
    # Ringing and noise overshoot by some per cent; a range of 0 to 255 by two orders of magnitude.
    if float(out.abs().amax()) > 3.0 or float(out.mean()) < 0.02:
        raise ConfigError(
            f"on noise of mean 0.5 it gives values from {float(out.min()):.3g} to {float(out.max()):.3g}, as"
            " shares of white",
            where=claims.place,
            hint="set 'value_range' to the value of white that it takes and gives (1, or 255)",
        )
    if _apart(out, restore(x, _draws(streams, places))) > 0:
        raise ConfigError(
            "it gives equal images different results",
            where=claims.place,
            hint="draw from the generator that it is given alone"
            if claims.stochastic
            else "declare 'stochastic: true', and draw from the generator that it is then given",
        )
    single = torch.cat([restore(x[i : i + 1], _draws(streams, (i,))) for i in places])
    if _apart(out, single) > EQUAL:
        raise ConfigError(
            "it gives an image another result in company than alone (statistics of the batch?)",
            where=claims.place,
            hint="add 'alone: true' to give it one image at a time",
        )


def _try_reach(restore: Restore, channels: int, streams: Sequence[Rng] | None, claims: Claims) -> None:
    assert claims.receptive_field is not None
    reach, step = claims.receptive_field // 2, claims.multiple_of
    size = -(-max(2 * reach + 9, claims.minimum) // step) * step
    x, at = _images(1, channels, size, size), size // 2
    changed = x.clone()
    changed[:, :, at, at] = 1.0 - changed[:, :, at, at]
    out, other = (restore(each, _draws(streams, (0,))) for each in (x, changed))
    scale = out.shape[2] // size
    far = torch.ones_like(out, dtype=torch.bool)
    low, high = (at - reach) * scale, (at + reach + 1) * scale
    far[:, :, low:high, low:high] = False
    if float((out - other).abs()[far].max()) > 1e-5:
        raise ConfigError(
            f"one pixel changes others that are more than {reach} away",
            where=claims.place,
            hint="leave 'receptive_field' out, or give a larger one",
        )


def _try_gradient(restore: Restore, x: Tensor, streams: Sequence[Rng] | None, claims: Claims) -> None:
    draw = Rng(0).at("trial", "weights", *x.shape).torch()
    with torch.no_grad():
        weights = torch.randn(restore(x, _draws(streams, range(len(x)))).shape, generator=draw)

    def value(at: Tensor) -> Tensor:
        return (restore(at, _draws(streams, range(len(at)))) * weights).double().flatten(1).sum(1)

    leaf = x.clone().requires_grad_(True)
    with torch.enable_grad():
        total = value(leaf).sum()
    gradient = torch.autograd.grad(total, leaf)[0] if total.requires_grad else torch.zeros_like(x)
    hint = "declare 'gradient: surrogate' (attacks pass it straight through), or 'blocked'"
    if not gradient.isfinite().all() or float((gradient == 0).float().mean()) > DEAD:
        raise ConfigError("no gradient comes through it", where=claims.place, hint=hint)
    flat = gradient.flatten(1).double()
    reach = STEP * flat.shape[1] ** 0.5
    ahead = (reach * flat / flat.norm(dim=1, keepdim=True)).to(x).reshape(x.shape)
    with torch.no_grad():
        slope = (value(x + ahead) - value(x - ahead)) / (2.0 * reach)
    ratio = float((slope / flat.norm(dim=1)).median())
    if not WITHIN[0] <= ratio <= WITHIN[1]:
        what = f"its slope is {ratio:.2g} times what its gradient says"
        raise ConfigError(what, where=claims.place, hint=hint)


def _images(n: int, channels: int, height: int, width: int) -> Tensor:
    """Return noise in [0.1, 0.9]: no clamp or median of a flat region hides a slope there."""
    draw = Rng(0).at("trial", n, channels, height, width).torch()
    return 0.1 + 0.8 * torch.rand((n, channels, height, width), generator=draw)


def _draws(streams: Sequence[Rng] | None, places: Sequence[int]) -> list[torch.Generator] | None:
    return None if streams is None else [streams[place].torch() for place in places]


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))
