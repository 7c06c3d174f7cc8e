"""Frost: ice crystals blended over the image."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.errors import ConfigError
from clearsight.data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PHOTOGRAPHS = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""The overlays of ImageNet-C, as the package ``imagecorruptions`` ships them. The published scripts list a
sixth and never draw it; that package does."""


class Frost(Corruption):
    """Add a weighted random cut of a frost texture.

    As in the published scripts a cut lies anywhere in one of the textures: 224 texture pixels for a 224-pixel
    image, every fifth of 160 for one of 32, three in ten of 213 for one of 64, by linear interpolation
    without smoothing, so that the ice of small images is coarse. For images of other sizes the cut's short
    side stays that many texture pixels, so crystals keep their size relative to the image. The drawn textures
    stand in for the photographs: means and contrast are alike, pixels are not.
    """

    kind: Literal["frost"] = "frost"
    revision: ClassVar[int] = 2
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "weather"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "ice crystals on the lens"
    WEIGHTS: ClassVar[dict[str, tuple[tuple[float, float], ...]]] = {
        "imagenet_c": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "cifar_c": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "tiny_imagenet_c": ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
    }
    """Weights of the image and of the texture."""
    CUT: ClassVar[dict[str, float]] = {"imagenet_c": 224, "cifar_c": 32 / 0.2, "tiny_imagenet_c": 64 / 0.3}
    """Short side of the cut in texture pixels."""

    textures: Literal["procedural", "imagenet_c"] = "procedural"
    """Drawn by program, or the photographs of ImageNet-C from the installed package ``imagecorruptions``."""

    def ready(self) -> None:
        """Raise `ConfigError` unless the photographs are installed, where they are asked for."""
        if self.textures == "imagenet_c":
            photograph(PHOTOGRAPHS[0])

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the frosted image."""
        import cv2
        import numpy as np

        keep, weight = self.WEIGHTS[self.table][self.severity - 1]
        name = self._texture(rng)
        height, width = image.shape[:2]
        texture = texture_of(name)
        wanted = self.CUT[self.table] / min(height, width)
        zoom = min(wanted, texture.shape[0] / height, texture.shape[1] / width)
        rows, columns = max(1, round(height * zoom)), max(1, round(width * zoom))
        top = int(rng.integers(texture.shape[0] - rows + 1))
        left = int(rng.integers(texture.shape[1] - columns + 1))
        cut = texture[top : top + rows, left : left + columns]
        ice = np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        if image.shape[2] == 1:
            ice = np.asarray(cv2.cvtColor(ice, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
        # addWeighted rounds; the offset makes it cut the fraction off, as the published script does.
        out = cv2.addWeighted(image, keep, ice, weight, -0.499)
        return np.asarray(out, np.uint8).reshape(image.shape)

    def _texture(self, rng: np.random.Generator) -> int | str:
        from clearsight.data.corruptions.frost_textures import STAND_INS

        if self.textures == "procedural":
            return STAND_INS[int(rng.integers(len(STAND_INS)))]
        return PHOTOGRAPHS[int(rng.integers(len(PHOTOGRAPHS)))]


def texture_of(name: int | str) -> NDArray[np.uint8]:
    """Return a drawn texture by its number, or a photograph by its name; uint8 (h, w, 3) RGB."""
    from clearsight.data.corruptions.frost_textures import procedural

    return procedural(name) if isinstance(name, int) else photograph(name)


@cache
def photograph(name: str) -> NDArray[np.uint8]:
    """Return one overlay of ImageNet-C, uint8 (h, w, 3) RGB, read once a process.

    Raises:
        ConfigError: the package that ships the overlays is not installed.
    """
    from importlib.util import find_spec
    from pathlib import Path

    import cv2
    import numpy as np

    # The package is only looked up: importing it would compile its numba code.
    found = find_spec("imagecorruptions")
    if found is None or found.origin is None:
        raise ConfigError(
            "textures: imagenet_c needs the package 'imagecorruptions', which is not installed",
            where="frost",
            hint="pip install --no-deps imagecorruptions-imaug, or write textures: procedural",
        )
    path = Path(found.origin).with_name("frost") / name
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError("not a readable image", where=str(path), hint="reinstall imagecorruptions-imaug")
    overlay = np.array(image[..., ::-1], np.uint8, order="C")
    overlay.setflags(write=False)
    return overlay
