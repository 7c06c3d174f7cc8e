"""A corruption that the user's own Python code is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clearsight.data.contract.errors import ConfigError, first_line
from clearsight.data.corruptions.base import Corruption
from clearsight.data.user_code import FAULTS, wanted
from clearsight.data.user_spec import UserCode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRIED = ((24, 29, 3), (24, 29, 1))
"""Shapes of the images that it is tried with."""


class PythonCorruption(UserCode, Corruption):
    """A function of one uint8 image (h, w, 3 or 1), which returns one of the same shape.

    This runs the code that ``call`` names, with all the rights of the user: use a config of this kind only
    if you trust the code it points at.

    It is given ``severity`` (1 to 5) and ``rng`` (a ``numpy.random.Generator`` of the image's own) where it
    has parameters of these names, and ``arguments`` with every image; a class is called with ``arguments``
    once in each process, and its object then with every image. Before a run it is tried on two small
    images: type and shape, and equal results of equal generators.
    """

    kind: Literal["python"] = "python"
    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "extra"
    stochastic: ClassVar[bool] = True
    purpose: ClassVar[str] = "a numpy function of your own code"

    @property
    def called(self) -> str:
        """Return the name of the function: two of a user's are two types of damage."""
        return self.call.rpartition(":")[2]

    def identity(self) -> dict[str, Any]:
        """Return the fields, and the sha256 of the source file."""
        return super().identity() | {"code": self.code()}

    def ready(self) -> None:
        """Try it on two small images.

        Raises:
            ConfigError: there is no such code, it fails, returns no uint8 array, or draws from elsewhere than
                its generator.
            ShapeError: it returns another shape.
        """
        import numpy as np

        from clearsight.data.contract.rng import Rng

        super().ready()
        for shape in TRIED:
            image = Rng(0).at("trial", *shape).numpy().integers(0, 256, shape, np.uint8)
            first, again = (self(image, Rng(0).at("trial")) for _ in range(2))
            if not np.array_equal(first, again):
                raise ConfigError(
                    "it gives equal images different results",
                    where=self.place,
                    hint="draw random numbers from the parameter 'rng' alone",
                )

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return what the code makes of a copy of the image.

        Raises:
            ConfigError: it fails, or returns no array.
        """
        import numpy as np

        function, arguments = self.worker()
        offered = wanted(function, severity=self.severity, rng=rng)
        try:
            out = function(image.copy(), **(offered | arguments))
        except FAULTS as error:
            raise ConfigError(
                f"it fails on uint8 images {image.shape}: {first_line(error)}", where=self.place
            ) from error
        if not isinstance(out, np.ndarray) or out.dtype != np.uint8:
            given = f"{out.dtype} array" if isinstance(out, np.ndarray) else type(out).__name__
            raise ConfigError(f"it returns a {given}, not a uint8 array", where=self.place)
        return out
