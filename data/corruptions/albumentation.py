"""Any transform of the library albumentations as a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.corruptions.base import Corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Albumentation(Corruption):
    """One transform of albumentations, always applied (``p: 1`` unless ``arguments`` says otherwise).

    The library has no severities: ``severity`` and ``table`` only name the condition (0 still leaves the
    image as it is); its strength is set in ``arguments``. One-channel images are shown to the
    transform as RGB, and its output is turned back into grey. Transforms that change the size are refused
    when they run.
    """

    kind: Literal["albumentations"] = "albumentations"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "extra"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "any transform of the library albumentations"

    transform: str = "RandomRain"
    """Name of the class, such as ``RandomRain``, ``RandomSunFlare``, ``RandomShadow`` or ``ISONoise``."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its keyword arguments."""

    def ready(self) -> None:
        """Raise `ConfigError` unless the library has the transform and it takes the arguments."""
        self._build()

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return what the transform makes of the image.

        Raises:
            ConfigError: no such transform, or arguments that it does not take.
        """
        import cv2
        import numpy as np

        grey = image.shape[2] == 1
        shown = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if grey else image.copy()
        compose = _library().Compose([self._build()], seed=int(rng.integers(1 << 32)))
        out = compose(image=shown)["image"]
        return np.asarray(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None] if grey else out)

    def _build(self) -> Any:
        from difflib import get_close_matches
        from inspect import Parameter, signature

        library, place = _library(), f"albumentations {self.transform}"
        known = [
            name
            for name, value in vars(library).items()
            if isinstance(value, type) and issubclass(value, library.BasicTransform)
        ]
        if self.transform not in known:
            close = get_close_matches(self.transform, known, n=5, cutoff=0.4)
            raise ConfigError(
                "albumentations has no such transform",
                where=f"transform '{self.transform}'",
                hint=near_miss(self.transform, close) if close else "see its list of transforms",
            )
        made = getattr(library, self.transform)
        takes = signature(made.__init__).parameters
        fixed = [name for name in takes if name != "self"]
        if any(takes[name].kind is Parameter.VAR_KEYWORD for name in fixed):
            fixed += list(self.arguments)
        for name in self.arguments:
            # The library itself would warn and continue without the argument.
            if name not in fixed:
                raise ConfigError(
                    "takes no such argument", where=f"{place} '{name}'", hint=near_miss(name, fixed)
                )
        try:
            return made(**({"p": 1.0} | self.arguments))
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"refuses its arguments: {reason}", where=place) from error


def _library() -> Any:
    import os

    # Without this the library asks the network for a newer release when it is imported.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations
