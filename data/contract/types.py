"""What flows through a system. The tests check these shapes at every call; see ``tests/typed.py``."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "n c h w"]
"""Batch of RGB (c = 3) or grey (c = 1) images with values in [0, 1]; images of one call have one size."""
ScaledImages = Float[Tensor, "n c height width"]
"""What is made of `Images`: the same number of images and channels, enlarged where a restorer has a scale."""
PerImage = Float[Tensor, "n 1 1 1"]
"""One number an image, such as its noise level, to be broadcast over its pixels."""
Logits = Float[Tensor, "n k"]
"""Scores before the softmax, one column a class."""
