"""Training for super-resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.restore.training.base import Pair, Supervised

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.restore.restorer import Restorer


class SuperResolution(Supervised):
    """Learns to undo antialiased bicubic downscaling (MATLAB's); the small images are rounded to 8 bits.

    Nothing is drawn at random: equal images are always reduced equally.
    """

    kind: Literal["super_resolution"] = "super_resolution"
    purpose: ClassVar[str] = "bicubic reduction, the protocol of the super-resolution literature"

    loss: Literal["l1", "l2", "l1_then_l2"] = "l1"
    """Mean absolute or squared error, or the squared one for the last part of the budget."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Return the single degradation."""
        return ("bicubic",)

    def degrade(self, model: Restorer, images: Tensor, rng: Rng) -> Pair:
        """Return the reduced images.

        Raises:
            ConfigError: the model does not enlarge, or the scale does not divide the patch.
        """
        from fractions import Fraction

        from clearsight.data.contract.errors import ConfigError
        from clearsight.restore.ops.resize import resize_bicubic, to_8_bit

        scale = model.facts.scale
        if scale == 1:
            raise ConfigError(f"{model.spec.name} does not enlarge", where="method", hint="use model: span")
        if images.shape[2] % scale or images.shape[3] % scale:
            size = f"{images.shape[2]}x{images.shape[3]}"
            raise ConfigError(
                f"scale {scale} does not divide images of {size}",
                where="method",
                hint="choose 'patch' as a multiple of the scale",
            )
        return Pair(to_8_bit(resize_bicubic(images, Fraction(1, scale))), images)

    def pair(self, model: Restorer, images: Tensor, condition: str, rng: Rng) -> Pair:
        """Return the reduced images; there is one condition, and no randomness."""
        return self.degrade(model, images, rng)
