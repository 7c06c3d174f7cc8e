"""What flows through a system."""

from __future__ import annotations

from jaxtyping import Float32
from torch import Tensor

Images = Float32[Tensor, "n c h w"]
"""Batch of RGB (c = 3) or grey (c = 1) images with values in [0, 1]."""
Logits = Float32[Tensor, "n k"]
"""Scores before the softmax, one column a class."""
