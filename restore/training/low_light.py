"""`LowLight`: base of the methods that learn from dark images, and the darkening that validates them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.restore.training.base import Pair, RestorerMethod

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer

CONDITIONS = {"dark": (2.2, 0.8), "very_dark": (2.8, 0.5)}
"""Name -> exponent and gain."""
PHOTONS = 1000.0
"""Photons at white: the variance of the shot noise is value / PHOTONS."""
READ = 0.004
"""Standard deviation of the noise that does not depend on the light, for values in [0, 1]."""


class LowLight(RestorerMethod):
    """Base of methods without paired images. Validation darkens normal images and compares with them.

    No exact answer exists for how bright an image should be, so the figures compare checkpoints and methods;
    they do not measure visual quality.
    """

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the two darkenings that validation measures."""
        return tuple(CONDITIONS)

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Darken normally lit images by a power law, with the noise of a short exposure.

        Raises:
            ConfigError: the condition is none of `conditions`.
        """
        if condition not in CONDITIONS:
            raise ConfigError(f"no condition '{condition}'", hint=near_miss(condition, CONDITIONS))
        gamma, gain = CONDITIONS[condition]
        return Pair(darkened(images, gamma=gamma, gain=gain, rng=rng), images)


def darkened(images: Tensor, *, gamma: float, gain: float, rng: Rng) -> Tensor:
    """Return dark and noisy versions, not rounded to 8 bits.

    The noise is Gaussian with the variance of shot and read noise, y / 1000 + 0.004 ** 2 (Foi et al. 2008).

    Args:
        images: (n, c, h, w) in [0, 1].
        gamma: exponent of the power law.
        gain: factor after it.
        rng: the stream of the noise.

    Returns:
        (n, c, h, w) in [0, 1].
    """
    import torch

    dark = gain * images.clamp_min(0.0) ** gamma
    noise = torch.randn(dark.shape, generator=rng.at("noise").torch()).to(dark)
    return (dark + noise * (dark / PHOTONS + READ**2).sqrt()).clamp(0.0, 1.0)
