"""Frost: ice crystals blended over the image."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.errors import ConfigError
from clearsight.data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PHOTOGRAPHS = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg", "frost6.jpg")
"""The overlays of ImageNet-C, as the package ``imagecorruptions`` ships them."""


class Frost(Corruption):
    """Add a weighted random cut of a frost texture.

    The published sets cut 224 texture pixels for a 224-pixel image, and 160, shrunk to a fifth, for a
    32-pixel one. Here the cut's short side is that many texture pixels (varied by up to a tenth) whatever the
    size of the image, so crystals keep their size relative to the image. The drawn textures stand in for
    the photographs: means and contrast are alike, pixels are not.
    """

    kind: Literal["frost"] = "frost"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "weather"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "ice crystals on the lens"
    WEIGHTS: ClassVar[dict[str, tuple[tuple[float, float], ...]]] = {
        "imagenet_c": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "cifar_c": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    }
    """Weights of the image and of the texture."""
    CUT: ClassVar[dict[str, int]] = {"imagenet_c": 224, "cifar_c": 160}
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
        wanted = self.CUT[self.table] * rng.uniform(0.9, 1.1) / min(height, width)
        # Small images shrink their cut to a fifth or less: most of that is done once, not every time.
        texture, ahead = (quartered(name), 4) if wanted >= 4 else (texture_of(name), 1)
        zoom = min(wanted / ahead, texture.shape[0] / height, texture.shape[1] / width)
        rows, columns = max(1, int(height * zoom)), max(1, int(width * zoom))
        top = int(rng.integers(texture.shape[0] - rows + 1))
        left = int(rng.integers(texture.shape[1] - columns + 1))
        cut = texture[top : top + rows, left : left + columns]
        how = cv2.INTER_AREA if zoom > 1.5 else cv2.INTER_LINEAR
        ice = np.asarray(cv2.resize(cut, (width, height), interpolation=how), np.uint8)
        if image.shape[2] == 1:
            ice = np.asarray(cv2.cvtColor(ice, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
        # addWeighted rounds; the offset makes it cut the fraction off, as the published script does.
        out = cv2.addWeighted(image, keep, ice, weight, -0.499)
        return np.asarray(out, np.uint8).reshape(image.shape)

    def _texture(self, rng: np.random.Generator) -> int | str:
        from clearsight.data.corruptions.frost_textures import PANES

        if self.textures == "procedural":
            return int(rng.integers(len(PANES)))
        return PHOTOGRAPHS[int(rng.integers(len(PHOTOGRAPHS)))]


def texture_of(name: int | str) -> NDArray[np.uint8]:
    """Return a drawn texture by its number, or a photograph by its name; uint8 (h, w, 3) RGB."""
    from clearsight.data.corruptions.frost_textures import procedural

    return procedural(name) if isinstance(name, int) else photograph(name)


@cache
def quartered(name: int | str) -> NDArray[np.uint8]:
    """Return a texture at a quarter of its height and width, made once a process."""
    import cv2
    import numpy as np

    whole = texture_of(name)
    size = (whole.shape[1] // 4, whole.shape[0] // 4)
    small = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
    small.setflags(write=False)
    return small


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
