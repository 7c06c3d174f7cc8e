"""What a sensor records that gets too little light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clearsight.restore.degradations.blur import eight_bits
from clearsight.restore.ops.linear_light import from_linear, to_linear

if TYPE_CHECKING:
    from clearsight.data.contract.rng import Rng


def short_exposure(images: Tensor, factor: Tensor, full_well: Tensor, read_noise: Tensor, rng: Rng) -> Tensor:
    """Return images of ``1 / factor`` of the light, not brightened, with shot and read noise.

    A sensor counts ``Poisson(full_well x / factor)`` electrons at linear light x and adds normal read noise;
    the count over ``full_well`` goes back to sRGB, is clipped and rounded to 8 bits.

    Args:
        images: (n, c, h, w), well lit, in [0, 1].
        factor: (n, 1, 1, 1), 1 or more.
        full_well: (n, 1, 1, 1), electrons of a white pixel at full exposure.
        read_noise: (n, 1, 1, 1), standard deviation of the read noise in electrons.
        rng: the stream; drawn on the CPU, so that every device gets the same noise.

    Returns:
        (n, c, h, w) in [0, 1], multiples of 1/255.
    """
    generator = rng.torch()
    mean = (to_linear(images.cpu()) * full_well.cpu() / factor.cpu()).clamp_min(0.0)
    counted = torch.poisson(mean, generator=generator)
    counted = counted + read_noise.cpu() * torch.randn(mean.shape, generator=generator)
    return eight_bits(from_linear((counted / full_well.cpu()).clamp(0.0, 1.0))).to(images)
