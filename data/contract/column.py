"""What a measured number is called, how it is written, and how it is stored: facts that every table reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["float32", "float64", "bool", "int32", "int64", "list[float32]", "list[int32]"]
"""``list[...]``: any number of values an image."""


@dataclass(frozen=True, kw_only=True)
class Display:
    """How a number is written.

    Attributes:
        label: its name in a heading.
        unit: text written after the number.
        better: which direction is better; None where neither is.
        scale: factor on the stored number.
        digits: decimals shown.
        meaning: one line that says what it measures.
    """

    label: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    scale: float = 1.0
    digits: int = 3
    meaning: str = ""

    @property
    def note(self) -> str:
        """Return what a reader must know: the meaning, and which direction is better."""
        direction = f"{self.better} is better" if self.better else ""
        return "; ".join(filter(None, (self.meaning, direction)))


def percent(
    label: str, meaning: str, *, better: Literal["higher", "lower"] = "higher", digits: int = 1
) -> Display:
    """Return how a share in [0, 1] is written: in percent."""
    return Display(label=label, unit="%", better=better, scale=100.0, digits=digits, meaning=meaning)


@dataclass(frozen=True, kw_only=True)
class Column(Display):
    """A column of the per-image rows of a run.

    Attributes:
        name: its name in ``results.parquet``.
        dtype: how it is stored there; missing values are null.
    """

    name: str
    dtype: Dtype = "float32"
