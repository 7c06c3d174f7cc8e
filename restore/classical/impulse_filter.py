"""Salt-and-pepper noise, found by its values and filled from what it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import Field

from clearsight.data.contract.spec import Number
from clearsight.restore.base import RestorerFacts, RestorerSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.types import Images, PerImage

HALF = 0.5 / 255
"""Distance from black or white within which a value is extreme: half a grey level."""
AROUND, COMMON = 2, 0.6
"""An extreme value is an impulse unless its like fill this share of the square of that radius: a wall."""
OPPOSITE = 0.75
"""Mean of the surroundings from which on white, and 1 minus it up to which black, counts as no proof."""
FEWEST = 0.05
"""Share of the image where an extreme must be contradicted for it to be judged by."""
NEAR, FAR, HELP = 1.0, 6, 1e-3
"""Width in pixels of the Gaussian window that values are filled from, radius of the square beside it, and
the weight of that, which only counts where the window is empty."""
COLOURS, ROUNDS = 1.5, 3
"""Width in pixels over which colours are averaged, and how often."""
TINY = 1e-12
"""Weight below which there is nothing to fill from."""


class ImpulseFilter(RestorerSpec):
    """Fills the values that salt-and-pepper noise replaced, each channel by itself; the others stay.

    Values that are exactly black or white are impulses unless much of their surroundings is so, too. They are
    filled by normalised convolution (Knutsson and Westin 1993): the Gaussian mean of the values that are
    left. Where a pixel lost some channels only, the others tell its brightness, and only the colour is
    averaged. Works up to a density of about 60 %.

    Before anything is changed, an image is judged. At least ``share`` of its values must be extremes that the
    surroundings contradict, white ones and black ones alike: snow is white only. And little noise may be left
    once they are filled: strong Gaussian noise is cut off at black and white, too.

    Noise that was compressed or resized afterwards is no longer exact, and is not found. Differentiable
    where values are not replaced; which are is decided without a gradient.
    """

    kind: Literal["impulse_filter"] = "impulse_filter"
    purpose: ClassVar[str] = "removes salt-and-pepper noise; leaves images without it alone"

    share: Annotated[Number, Field(ge=0, le=1)] = 0.02
    """Share of values that must be impulses for an image to be changed."""
    left: Annotated[Number, Field(ge=0, le=1)] = 0.08
    """Greatest standard deviation of the noise that may be left, for values in [0, 1]."""
    active: bool | Literal["auto"] = "auto"
    """Whether impulses are filled; ``auto`` judges each image."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: windows of windows, the judgement being known beforehand."""
        from clearsight.restore.ops.filtering import gaussian_radius

        reach = AROUND + FAR + ROUNDS * (gaussian_radius(COLOURS) + FAR)
        return RestorerFacts(receptive_field=2 * reach + 1)

    def prepared(self, x: Images) -> Self:
        """Return this restorer with the judgement of the whole image, for its tiles."""
        if self.active != "auto":
            return self
        found = _found(x)
        return self.model_copy(update={"active": bool(self._judged(found, _filled(x, found)))})

    def restore(self, x: Images, network: nn.Module | None) -> Images:
        """Return the images without impulses."""
        import torch

        if self.active is False:
            return 1.0 * x
        found = _found(x)
        # Of most images this is all; an export has no choice.
        if self.active == "auto" and not torch.compiler.is_compiling() and (found.share < self.share).all():
            return 1.0 * x
        filled = _filled(x, found)
        return filled if self.active is True else filled.where(self._judged(found, filled), x)

    def _judged(self, found: _Found, filled: Images) -> Tensor:
        """Return which images (n, 1, 1, 1) have salt-and-pepper noise."""
        from clearsight.restore.ops.noise_level import upper_sigma

        return (found.share >= self.share) & (upper_sigma(filled.detach()) <= self.left)


class _Found(NamedTuple):
    """Impulses of images.

    Attributes:
        kept: 1 where a value is none, 0 where it is one, (n, c, h, w).
        share: of the values that the surroundings contradict, twice that of the rarer of black and white.
    """

    kept: Tensor
    share: PerImage


def _found(x: Images) -> _Found:
    import torch

    from clearsight.restore.ops.guided_filter import box_mean

    x = x.detach()
    salt, pepper = (x >= 1.0 - HALF).to(x.dtype), (x <= HALF).to(x.dtype)
    salt = salt * (box_mean(salt, AROUND) < COMMON)
    pepper = pepper * (box_mean(pepper, AROUND) < COMMON)
    kept = 1.0 - salt - pepper
    around = box_mean(kept * x, AROUND + 1) / box_mean(kept, AROUND + 1).clamp_min(TINY)
    shares = []
    for impulses, proof in ((salt, around < OPPOSITE), (pepper, around > 1.0 - OPPOSITE)):
        places = proof.to(x.dtype).mean(dim=(1, 2, 3), keepdim=True)
        seen = (impulses * proof).mean(dim=(1, 2, 3), keepdim=True) / places.clamp_min(TINY)
        # In a dark image black values prove nothing: the white ones decide.
        shares.append(seen.where(places >= FEWEST, torch.ones_like(seen)))
    share = 2.0 * torch.minimum(*shares)
    return _Found(kept, share)


def _filled(x: Images, found: _Found) -> Images:
    """Return images whose impulses are filled."""
    import torch

    from clearsight.restore.ops.filtering import gaussian_blurred

    kept, lost = found.kept, 1.0 - found.kept
    out = kept * x + lost * _mean(x, kept)
    known = kept.sum(dim=1, keepdim=True)
    for _ in range(ROUNDS):
        colour = out - out.mean(dim=1, keepdim=True)
        colour = gaussian_blurred(kept * colour, COLOURS) / gaussian_blurred(kept, COLOURS).clamp_min(TINY)
        grey = kept * (x - colour)
        seen = grey.sum(dim=1, keepdim=True) / known.clamp_min(1.0)
        guessed = _mean(seen, (known > 0.0).to(x.dtype))
        out = kept * x + lost * (torch.where(known > 0.0, seen, guessed) + colour)
    return out.clamp(0.0, 1.0)


def _mean(x: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean around every value."""
    from clearsight.restore.ops.filtering import gaussian_blurred
    from clearsight.restore.ops.guided_filter import box_mean

    total, weight = (gaussian_blurred(y, NEAR) + HELP * box_mean(y, FAR) for y in (weights * x, weights))
    return total / weight.clamp_min(TINY)
