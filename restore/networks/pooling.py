"""Statistics of a feature map over the whole image."""

from __future__ import annotations

from torch import Tensor


def mean_and_spread(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of every channel of features (n, c, h, w), each (n, c)."""
    mean = y.mean(dim=(2, 3))
    return mean, (y - mean[:, :, None, None]).square().mean(dim=(2, 3)).add(1e-8).sqrt()
