"""Haze: the dark channel, the airlight, and Koschmieder's law turned round.

A hazy image is ``I = J t + A (1 - t)`` (Koschmieder 1924): the scene J, weakened to the share t that the haze
lets through, and the airlight A in place of the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

BRIGHTEST = 1000
"""One pixel in so many gives the airlight (He, Sun and Tang 2009: the brightest 0.1 %)."""
DARKEST_LIGHT = 1 / 255
"""Least airlight of a channel, so that a black image can be divided by it."""


def dark_channel(x: Tensor, patch: int) -> Tensor:
    """Return the least value over all channels and a square around every pixel (He, Sun and Tang 2009).

    Args:
        x: (n, c, h, w).
        patch: side of the square in pixels, odd; it is cut off at the borders.

    Returns:
        (n, 1, h, w). Its gradient goes to the pixel that holds the least value.
    """
    least = -x.amin(dim=1, keepdim=True)
    reach = patch // 2
    rows = max_pool2d(least, (1, patch), stride=1, padding=(0, reach))
    return -max_pool2d(rows, (patch, 1), stride=1, padding=(reach, 0))


def airlight(x: Tensor, dark: Tensor) -> Tensor:
    """Return the mean colour of the pixels whose dark channel is among the brightest 0.1 %.

    Pixels as bright as the last one of them count too: which of several equal ones a sort puts first is
    chance, and the dark channel is full of equal values.

    Args:
        x: (n, c, h, w).
        dark: its `dark_channel`, (n, 1, h, w).

    Returns:
        (n, c, 1, 1), at least 1/255.
    """
    flat = dark.detach().flatten(1)
    count = torch.sym_max(flat.shape[1] // BRIGHTEST, 1)  # type: ignore[no-untyped-call]
    least = flat.topk(count, dim=1, largest=True).values[:, -1:]
    chosen = (flat >= least).to(x.dtype)[:, None]
    light = (x.flatten(2) * chosen).sum(dim=2) / chosen.sum(dim=2)
    return light.clamp_min(DARKEST_LIGHT)[:, :, None, None]


def without_haze(x: Tensor, light: Tensor, transmission: Tensor) -> Tensor:
    """Return the scene J of ``x = J t + A (1 - t)``; values may leave [0, 1].

    Args:
        x: (n, c, h, w).
        light: A, (n, c, 1, 1) or (1, c, 1, 1).
        transmission: t above 0, (n, 1, h, w).
    """
    return (x - light) / transmission + light
