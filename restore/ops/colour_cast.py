"""The colour of the light, estimated from the image, and its removal."""

from __future__ import annotations

from torch import Tensor

DARKEST = 1e-4
"""Least estimate of a channel in linear light, so that a black channel can be divided by it."""


def illuminant(light: Tensor, norm: float) -> Tensor:
    """Return the Minkowski mean of every channel, ``(mean of x^p)^(1/p)`` (Finlayson and Trezzi 2004).

    Args:
        light: (n, c, h, w), linear light, not negative.
        norm: p, at least 1; infinity takes the largest value.

    Returns:
        (n, c, 1, 1), at least `DARKEST`.
    """
    if norm == float("inf"):
        found = light.amax(dim=(2, 3), keepdim=True)
    else:
        # A floor under the mean keeps the root's gradient finite in a black channel.
        mean = (light**norm).mean(dim=(2, 3), keepdim=True)
        found = mean.clamp_min(DARKEST**norm) ** (1.0 / norm)
    return found.clamp_min(DARKEST)


def balancing_gains(light: Tensor, norm: float, most: float) -> Tensor:
    """Return the factors (n, c, 1, 1) that make the illuminant grey and keep its mean.

    Args:
        light: (n, c, h, w), linear light.
        norm: of `illuminant`.
        most: greatest factor.
    """
    found = illuminant(light, norm)
    return (found.mean(dim=1, keepdim=True) / found).clamp_max(most)
