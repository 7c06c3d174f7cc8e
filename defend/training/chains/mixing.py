"""AugMix versions of a batch: random chains of operations, mixed with the image they started from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.defend.training.chains.operations import OPERATIONS, apply_operations


@dataclass(frozen=True)
class Draws:
    """Random numbers for ``m`` versions of images, ``width`` chains each.

    Attributes:
        operations: int64 (m, width, depth), index into `OPERATIONS`; -1 behind a chain's end.
        levels: float32 (m, width, depth), strengths in [0.1, severity].
        signs: float32 (m, width, depth), -1 or 1, the direction of geometric operations.
        weights: float32 (m, width), Dirichlet(1), the chains' shares of the mix.
        share: float32 (m,), Beta(1, 1), the mix's share beside the untouched image.
    """

    operations: NDArray[np.int64]
    levels: NDArray[np.float32]
    signs: NDArray[np.float32]
    weights: NDArray[np.float32]
    share: NDArray[np.float32]


def draw(ids: tuple[str, ...], rng: Rng, *, copies: int, width: int, depth: int, severity: float) -> Draws:
    """Draw for every copy of every image; copy c of image ``id`` uses the stream ``rng.at(id)`` alone."""
    shape = (copies, width, depth)
    operations, levels, signs, weights, shares = [], [], [], [], []
    for name in ids:
        stream = rng.at("augmix", name).numpy()
        chosen = stream.integers(len(OPERATIONS), size=shape)
        lengths = stream.integers(1, depth + 1, size=(copies, width, 1))
        operations.append(np.where(np.arange(depth) < lengths, chosen, -1))
        levels.append(stream.uniform(0.1, severity, size=shape))
        signs.append(stream.integers(2, size=shape) * 2 - 1)
        weights.append(stream.dirichlet(np.ones(width), size=copies))
        shares.append(stream.uniform(size=copies))

    def stacked(parts: list[NDArray[Any]]) -> NDArray[np.float32]:
        whole = np.stack(parts, axis=1)
        return whole.reshape(-1, *whole.shape[2:]).astype(np.float32)

    return Draws(
        stacked(operations).astype(np.int64),
        stacked(levels),
        stacked(signs),
        stacked(weights),
        stacked(shares),
    )


def mixed(
    images: Tensor,
    ids: tuple[str, ...],
    rng: Rng,
    *,
    copies: int = 2,
    width: int = 3,
    depth: int = 3,
    severity: float = 3.0,
) -> tuple[Tensor, ...]:
    """Return ``copies`` AugMix versions of a batch.

    Args:
        images: float (n, c, h, w) in [0, 1]; the operations see them rounded to 256 levels.
        ids: names of the images; the versions of an image depend on its name, not on its place.
        rng: stream of the step.
        copies: number of versions.
        width: chains that are mixed.
        depth: longest chain.
        severity: strength, 0.1 to 10.

    Returns:
        ``copies`` tensors shaped like ``images``, in [0, 1].
    """
    drawn = draw(ids, rng, copies=copies, width=width, depth=depth, severity=severity)
    many = copies * len(ids) * width
    device = images.device
    operations = torch.from_numpy(drawn.operations).view(many, depth)
    levels = torch.from_numpy(drawn.levels).view(many, depth)
    signs = torch.from_numpy(drawn.signs).view(many, depth)
    rounded = (images * 255.0).round().to(torch.uint8)
    chains = rounded.repeat_interleave(width, 0).repeat(copies, 1, 1, 1)
    for place in range(depth):
        chains = apply_operations(chains, operations[:, place], levels[:, place], signs[:, place])
    weights = torch.from_numpy(drawn.weights).to(device)
    share = torch.from_numpy(drawn.share).to(device).view(-1, 1, 1, 1)
    floats = chains.view(-1, width, *images.shape[1:]).to(images.dtype) / 255.0
    mix = torch.einsum("mwchx,mw->mchx", floats, weights)
    out = (1.0 - share) * images.repeat(copies, 1, 1, 1) + share * mix
    return out.clamp(0.0, 1.0).chunk(copies)
