"""`Corruption`: a common image corruption with severity 0 (identity) to 5 (Hendrycks & Dietterich 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from math import log
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, final

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ShapeError
from clearsight.data.contract.spec import kind_of
from clearsight.data.corruptions.damage import Damage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng

Table = Literal["by_size", "imagenet_c", "cifar_c", "tiny_imagenet_c"]
BY_SIZE: Table = "by_size"
TABLES: tuple[Table, ...] = ("cifar_c", "tiny_imagenet_c", "imagenet_c")
SIZES: Mapping[str, int] = MappingProxyType({"cifar_c": 32, "tiny_imagenet_c": 64, "imagenet_c": 224})
"""Published severity constants, and the side in pixels of the square images that they were chosen for."""
TITLES: Mapping[str, str] = MappingProxyType(
    {"cifar_c": "CIFAR-C", "tiny_imagenet_c": "Tiny-ImageNet-C", "imagenet_c": "ImageNet-C"}
)
"""What the tables are called."""
MINIMUM = 16
"""Smallest height and width in pixels that corruptions are defined for."""


def is_clean(severity: float) -> bool:
    """Return whether a corruption of this severity leaves images as they are, whatever its type.

    This is the one meaning of clean: for runs, for their figures and for their reports.
    """
    return severity == 0


def constants_in_words(tables: Iterable[str]) -> str:
    """Return whose constants those are: ``severity constants of CIFAR-C (chosen for 32x32 pixels)``."""
    told = [
        f"{title} (chosen for {SIZES[table]}x{SIZES[table]} pixels)"
        for table, title in TITLES.items()
        if table in tables
    ]
    return f"severity constants of {' and '.join(told)}"


def fitting(side: float, tables: Iterable[Table] = TABLES) -> Table:
    """Return the table whose images are nearest in size, by ratio.

    Of all three: CIFAR-C's for a shorter side up to 45 pixels, Tiny-ImageNet-C's up to 119, else
    ImageNet-C's.

    Args:
        side: shorter side in pixels.
        tables: to choose from, at least one.
    """
    return min(tables, key=lambda table: abs(log(side / SIZES[table])))


class Corruption(Damage):
    """Base of all corruptions. A subclass adds ``kind``, its severity tables and the hook ``apply``."""

    group: ClassVar[Literal["none", "noise", "blur", "weather", "digital", "extra"]] = "none"
    """Family in the benchmark; ``extra`` marks the four types kept apart as unseen ones."""
    stochastic: ClassVar[bool] = False
    """True where the output depends on the random stream."""
    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""

    severity: Annotated[int, Field(ge=0, le=5)] = 3
    """0 leaves the image as it is, 5 is strongest."""
    table: Table = BY_SIZE
    """Severity constants: those of ImageNet-C (224 px), CIFAR-C (32 px) or Tiny-ImageNet-C (64 px), or, by
    size, those that were chosen for images of the nearest size: one table for all images of a run."""

    @property
    def clean(self) -> bool:
        """Return True where images stay as they are: any type at severity 0, as `is_clean` says."""
        return is_clean(self.severity)

    @classmethod
    def graded(cls) -> list[Mapping[str, Any]]:
        """Return the class's constants by table."""
        return [
            value
            for base in cls.__mro__
            for name, value in vars(base).items()
            if name.isupper() and isinstance(value, dict) and value and value.keys() <= SIZES.keys()
        ]

    @classmethod
    def tables(cls) -> tuple[Table, ...]:
        """Return the tables that the class has constants of; all where it has no constants."""
        return tuple(table for table in TABLES if all(table in rows for rows in cls.graded()))

    @property
    def all_tables(self) -> tuple[str, ...]:
        """Return the table that decides what is done to an image; none where no constants do."""
        return (self.table,) if self.graded() and not self.clean else ()

    def fitted(self, side: float) -> Self:
        """Return it with the table that fits images of this shorter side, unless it names one."""
        if self.table != BY_SIZE or self.clean:
            return self
        return self.model_copy(update={"table": fitting(side, self.tables())})

    @model_validator(mode="after")
    def _has_constants(self) -> Self:
        if self.table != BY_SIZE and self.table not in self.tables():
            raise ValueError(f"table: {kind_of(self)} has no constants of '{self.table}'")
        return self

    @final
    def __call__(self, image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
        """Corrupt one image; where ``table`` is left open, the image's own size decides.

        Args:
            image: uint8 (h, w, c), c = 3 (RGB) or 1, at least 16x16. It is never changed in place.
            rng: the sample's stream; kind and severity are added to its path here.

        Returns:
            uint8 array of the same shape, as the published data sets store it.

        Raises:
            ShapeError: another shape or type, or smaller than 16x16.
        """
        import numpy as np

        name = kind_of(self)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
            raise ShapeError(f"expects uint8 (h, w, 1 or 3), got {image.dtype} {image.shape}", where=name)
        if self.clean:
            return image.copy()
        if min(image.shape[:2]) < MINIMUM:
            raise ShapeError(
                f"needs at least {MINIMUM}x{MINIMUM} pixels, got {image.shape[0]}x{image.shape[1]}",
                where=name,
            )
        stream = rng.at(name, self.severity).numpy() if self.stochastic else _no_stream()
        out = self.fitted(min(image.shape[:2])).apply(image, stream)
        if out.shape != image.shape or out.dtype != np.uint8:
            raise ShapeError(f"returned {out.dtype} {out.shape} for {image.shape}", where=name)
        return out

    def apply(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Hook: return the corrupted image, same shape, uint8.

        ``self.severity`` is 1 or more, and ``self.table`` one that the class has constants of.
        """
        raise NotImplementedError


@cache
def _no_stream() -> np.random.Generator:
    """Return a generator for types that draw nothing: naming a stream costs more than some of them do."""
    from clearsight.data.contract.rng import Rng

    return Rng(0).numpy()
