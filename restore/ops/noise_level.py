"""Estimates the noise level of an image: the standard deviation of white Gaussian noise."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from clearsight.data.contract.part import check_images
from clearsight.restore.ops.pad import pad

LOW_PASS = (
    0.23037781330885523,
    0.7148465705525415,
    0.6308807679295904,
    -0.02798376941698385,
    -0.18703481171888114,
    0.030841381835986965,
    0.032883011666982945,
    -0.010597401784997278,
)
"""Orthonormal scaling filter with four vanishing moments (Daubechies 1988)."""
QUIET, LEAST = 0.15, 400
"""Share of the positions that are used, and the least number of them (all where there are fewer)."""
GROUPS, LEAST_OF_GROUP = 6, 64
"""Groups of positions by brightness, and the least number of positions that are used of each."""
WINDOW = 9
"""Side in coefficients (two pixels each) of the neighbourhood whose texture is judged."""
LEAK = 0.1
"""Texture in the diagonal band over texture in the two others; fitted on the BSDS500 training photographs."""
SHRINK, MOST = 0.86, 0.3
"""Clipping a share p of normal numbers at one side shrinks their standard deviation by about 0.86 p, for p
up to 0.3."""
MAD = 0.6744897501960817
"""Median of the absolute value of a standard normal number."""
FLOOR = 1e-6
"""Smallest value returned, so that the gradient of the square root stays finite."""


def estimate_sigma(x: Tensor) -> Tensor:
    """Estimate the standard deviation of additive white Gaussian noise, over all channels together.

    The median of the absolute diagonal wavelet details, divided by 0.6745 (Donoho and Johnstone 1994), counts
    fine texture as noise. It is used here only where the image is quiet: over the 15 % of the positions
    with the least energy in the horizontal and vertical details around them. White noise is independent in
    the three bands of an orthonormal transform, so that this choice does not bias the median. What those two
    bands hold above the noise is texture, of which a tenth is assumed to leak into the diagonal band and is
    subtracted. Positions near pixels that are exactly 0 or 1, where clipping removed noise, come last; where
    they cannot be avoided, the result is corrected for the share of clipped pixels.

    Each image is judged by itself. The result is differentiable almost everywhere, with finite gradients.

    Args:
        x: (n, 1 or 3, h, w); noisy values outside [0, 1] may be clipped or not.

    Returns:
        (n, 1, 1, 1), for values in [0, 1]; at least 1e-6, which flat images get.

    Raises:
        ShapeError: not float images with 1 or 3 channels.
    """
    check_images(x, name="estimate_sigma", channels=(1, 3))
    places = _places(_padded(x))
    return _level(places, _quietest(places.order, LEAST))[:, None, None, None]


def upper_sigma(x: Tensor) -> Tensor:
    """Estimate the standard deviation of noise that grows with the brightness, as speckle and shot noise do.

    The places of an image are sorted by brightness into six equal groups, and the noise of each is estimated
    as `estimate_sigma` does. The second largest of the six levels is returned: of white noise they are all
    alike, of speckle `estimate_sigma` sees little more than that of the darkest, which are the quietest.

    Args:
        x: (n, 1 or 3, h, w), values in [0, 1].

    Returns:
        (n, 1, 1, 1); at least 1e-6. In images below about 100 pixels texture counts as noise.

    Raises:
        ShapeError: not float images with 1 or 3 channels.
    """
    check_images(x, name="upper_sigma", channels=(1, 3))
    x = _padded(x)
    places = _places(x)
    brightness = functional.avg_pool2d(x.mean(dim=1, keepdim=True), len(LOW_PASS), stride=2).flatten(1)
    count = brightness.shape[1]
    several = torch.sym_max(count // GROUPS, 1)  # type: ignore[no-untyped-call]
    # Of fewer places than groups, the darkest stands in several.
    ranks = torch.arange(GROUPS * several, device=x.device).clamp_max(count - 1)
    groups = brightness.topk(count, dim=1).indices[:, ranks].view(-1, GROUPS, several)
    levels = []
    for group in groups.unbind(dim=1):
        quietest = _quietest(places.order.gather(1, group), LEAST_OF_GROUP)
        levels.append(_level(places, group.gather(1, quietest)))
    found = torch.stack(levels, dim=1)
    return found.topk(2, dim=1).values[:, -1, None, None, None]


class _Places(NamedTuple):
    """What is known of every position of the details, (n, rows * columns) each but for the first.

    Attributes:
        diagonal: absolute diagonal details, (n, c, rows * columns).
        others: mean square of the two other bands, (n, c, rows * columns).
        clipped: share of clipped pixels around.
        order: the smaller, the better noise is seen there.
    """

    diagonal: Tensor
    others: Tensor
    clipped: Tensor
    order: Tensor


def _padded(x: Tensor) -> Tensor:
    return pad(x, minimum=len(LOW_PASS), multiple_of=1)


def _quietest(order: Tensor, least: int) -> Tensor:
    """Return the positions (n, k) that come first: a share of all of them, but ``least`` where there are."""
    count = order.shape[1]
    few = torch.sym_max(count * int(100 * QUIET) // 100, torch.sym_min(count, least))  # type: ignore[no-untyped-call]
    return order.topk(few, dim=1, largest=False, sorted=False).indices


def _places(x: Tensor) -> _Places:
    diagonal, others = _details(x)
    energy, clipped = _surroundings(x, others.mean(dim=1, keepdim=True), len(LOW_PASS))
    # Noiseless black and white areas must lose against textured ones, hence the sum.
    order = energy * (4.0 * clipped).exp() + clipped.square()
    return _Places(diagonal.abs().flatten(2), others.flatten(2), clipped, order)


def _level(places: _Places, chosen: Tensor) -> Tensor:
    """Return the noise level (n,) seen at the chosen positions (n, k)."""
    quiet = chosen[:, None].expand(-1, places.diagonal.shape[1], -1)
    measured = _median(places.diagonal.gather(2, quiet).flatten(1)) / MAD
    # The mean of two squared normal numbers is exponentially distributed, with median log 2.
    texture = _median(places.others.gather(2, quiet).flatten(1)) / 0.6931471805599453
    variance = measured.square() - LEAK * (texture - measured.square()).clamp_min(0.0)
    lost = 1.0 - SHRINK * places.clipped.gather(1, chosen).mean(dim=1).clamp_max(MOST)
    return variance.clamp_min(FLOOR**2).sqrt() / lost


def _details(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the diagonal details and the mean square of the two others, each (n, c, rows, columns)."""
    low = x.new_tensor(LOW_PASS)
    high = x.new_tensor([(-1) ** k * v for k, v in enumerate(reversed(LOW_PASS))])
    filters = torch.stack([torch.outer(high, high), torch.outer(low, high), torch.outer(high, low)])
    folded = x.reshape(-1, 1, x.shape[2], x.shape[3])
    # The mean carries nothing, and details of small numbers lose fewer digits.
    bands = functional.conv2d(folded - 0.5, filters[:, None], stride=2)
    bands = bands.reshape(-1, x.shape[1], 3, bands.shape[2], bands.shape[3])
    return bands[:, :, 0], bands[:, :, 1:].square().mean(dim=2)


def _surroundings(x: Tensor, energy: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return mean energy and share of clipped pixels around each position, both (n, rows * columns)."""
    clipped = ((x == 0.0) | (x == 1.0)).to(x.dtype).mean(dim=1, keepdim=True)
    clipped = functional.avg_pool2d(clipped, side, stride=2)
    around = functional.avg_pool2d(
        torch.cat([energy, clipped], dim=1), WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False
    )
    energy, clipped = around.flatten(2).unbind(dim=1)
    return energy, clipped


def _median(values: Tensor) -> Tensor:
    """Return the lower median of each row; torch.median has no counterpart in ONNX."""
    half = (values.shape[1] + 1) // 2
    return values.topk(half, dim=1, largest=False).values[:, -1]
