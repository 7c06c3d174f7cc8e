"""JPEG compression at low quality."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, ClassVar, Literal

from data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class JpegCompression(Corruption):
    """Encode as baseline JPEG with chroma halved both ways (4:2:0), then decode.

    One-channel pictures are stored as grey JPEG.
    """

    kind: Literal["jpeg_compression"] = "jpeg_compression"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    purpose: ClassVar[str] = "blocks and ringing of strong JPEG compression"
    QUALITY: ClassVar[dict[str, tuple[int, ...]]] = {
        "imagenet_c": (25, 18, 15, 10, 7),
        "cifar_c": (80, 65, 58, 50, 40),
    }
    """Quality on the scale of the Independent JPEG Group (1 to 100)."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the decoded picture."""
        import numpy as np
        from PIL import Image

        picture = Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
        file = BytesIO()
        picture.save(file, "JPEG", quality=self.QUALITY[self.table][self.severity - 1])
        return np.array(Image.open(file)).reshape(image.shape)
