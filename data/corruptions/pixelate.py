"""Pixelate: fewer, larger pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pixelate(Corruption):
    """Shrink by averaging boxes, then enlarge again by repeating pixels."""

    kind: Literal["pixelate"] = "pixelate"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    purpose: ClassVar[str] = "low resolution with visible blocks"
    SCALE: ClassVar[dict[str, tuple[float, ...]]] = {
        "imagenet_c": (0.6, 0.5, 0.4, 0.3, 0.25),
        "cifar_c": (0.95, 0.9, 0.85, 0.75, 0.65),
    }
    """Share of the height and width that is left."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the picture of coarse blocks."""
        import numpy as np
        from PIL import Image

        scale = self.SCALE[self.table][self.severity - 1]
        height, width, channels = image.shape
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
        small = picture.resize((int(width * scale), int(height * scale)), Image.Resampling.BOX)
        large = small.resize((width, height), Image.Resampling.NEAREST)
        return np.array(large).reshape(image.shape)
