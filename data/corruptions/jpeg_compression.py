"""JPEG compression at low quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class JpegCompression(Corruption):
    """Encode as baseline JPEG with chroma halved both ways (4:2:0), then decode.

    One-channel images are stored as grey JPEG.
    """

    kind: Literal["jpeg_compression"] = "jpeg_compression"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "digital"
    purpose: ClassVar[str] = "blocks and ringing of strong JPEG compression"
    QUALITY: ClassVar[dict[str, tuple[int, ...]]] = {
        "imagenet_c": (25, 18, 15, 10, 7),
        "cifar_c": (80, 65, 58, 50, 40),
        "tiny_imagenet_c": (65, 58, 50, 40, 25),
    }
    """Quality on the scale of the Independent JPEG Group (1 to 100)."""

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the decoded image."""
        import cv2
        import numpy as np

        quality = [cv2.IMWRITE_JPEG_QUALITY, self.QUALITY[self.table][self.severity - 1]]
        if image.shape[2] == 1:
            _, file = cv2.imencode(".jpg", image, quality)
            return np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8)[..., None]
        _, file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)
        decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
