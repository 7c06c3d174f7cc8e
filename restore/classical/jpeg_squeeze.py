"""JPEG compression as a defence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.spec import Gradient
from clearsight.restore.base import ArrayRestorerSpec, RestorerFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from clearsight.data.contract.types import Images


class JpegSqueeze(ArrayRestorerSpec):
    """JPEG compression and decompression, a defence against faint perturbations (Das et al. 2017, 2018).

    Rounding blocks the gradient. The surrogate is the differentiable JPEG of Shin and Song (2017), whose
    rounding is smooth.
    """

    kind: Literal["jpeg_squeeze"] = "jpeg_squeeze"
    purpose: ClassVar[str] = "weakens adversarial perturbations by JPEG compression"
    gradient: ClassVar[Gradient] = Gradient.SURROGATE
    onnx: ClassVar[str] = "runs the JPEG codec of Pillow, which ONNX has no operator for"

    quality: Annotated[int, Field(ge=1, le=95)] = 75
    """JPEG quality: smaller removes more."""
    subsampling: Literal["4:4:4", "4:2:0"] = "4:2:0"
    """Resolution of colour against that of luminance (grey images have no colour)."""

    @property
    def facts(self) -> RestorerFacts:
        """Return the facts: blocks lie on a grid that is fixed to the corner, so tiles cannot be exact."""
        return RestorerFacts()

    def restore_array(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round to 8 bits, compress, decompress."""
        import io

        import numpy as np
        from PIL import Image

        pixels = np.rint(image.clip(0.0, 1.0) * 255.0).astype(np.uint8)
        grey = pixels.shape[2] == 1
        buffer = io.BytesIO()
        pillow = Image.fromarray(pixels[:, :, 0] if grey else pixels)
        colour = {} if grey else {"subsampling": self.subsampling}
        pillow.save(buffer, format="JPEG", quality=self.quality, **colour)
        with Image.open(buffer) as decoded:
            values = np.asarray(decoded, dtype=np.float32) / np.float32(255.0)
        return values.reshape(image.shape)

    def surrogate(self, x: Images, network: nn.Module | None) -> Images:
        """Return the differentiable JPEG (colour always at half resolution)."""
        from kornia.enhance import jpeg_codec_differentiable

        from clearsight.restore.ops.pad import pad

        height, width = x.shape[2:]
        colour = x if x.shape[1] == 3 else x.expand(-1, 3, -1, -1)
        quality = x.new_full((1,), float(self.quality))
        out: Images = jpeg_codec_differentiable(pad(colour, minimum=16, multiple_of=16), quality)
        return out[:, : x.shape[1], :height, :width]
