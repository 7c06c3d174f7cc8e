"""What a deployed file says of an image beside its classes: sets, abstention, suspicion; as text too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.deployed import Deployed
from clearsight.data.contract.text import cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("set", "abstains", "suspicion", "alarm")
"""What has a column in tables, in order; probabilities are those of the classes."""
BETWEEN = "|"
"""Stands between the classes of a set."""


@dataclass(frozen=True)
class Beside:
    """What a file says of one image; None where it does not say it.

    Attributes:
        set: names of the classes in the conformal set, in the order of the classes; may be empty.
        abstains: whether the answer is too unsure to be given.
        suspicion: what a detector says, more for images that look attacked.
        alarm: whether that is too much.
    """

    set: tuple[str, ...] | None = None
    abstains: bool | None = None
    suspicion: float | None = None
    alarm: bool | None = None


NOTHING = Beside()


def columns_beside(deployed: Deployed) -> tuple[str, ...]:
    """Return the names of the columns that a file has beside its classes."""
    return tuple(name for name in COLUMNS if deployed.output(name) is not None)


def beside_of(deployed: Deployed, outputs: Mapping[str, NDArray[Any]], count: int) -> list[Beside]:
    """Return what a file says of each of ``count`` images.

    Args:
        deployed: its description.
        outputs: its outputs by name.
        count: how many images.
    """
    given = {name: deployed.output(name) for name in COLUMNS}
    values = {name: outputs[output.name] for name, output in given.items() if output is not None}
    if not values:
        return [NOTHING] * count
    classes = deployed.classes or tuple(map(str, range(values["set"].shape[1] if "set" in values else 0)))
    return [
        Beside(
            tuple(name for name, there in zip(classes, values["set"][at], strict=True) if there)
            if "set" in values
            else None,
            bool(values["abstains"][at]) if "abstains" in values else None,
            float(values["suspicion"][at]) if "suspicion" in values else None,
            bool(values["alarm"][at]) if "alarm" in values else None,
        )
        for at in range(count)
    ]


def cells_beside(beside: Beside, columns: tuple[str, ...]) -> list[str]:
    """Return the texts of these columns: a set's classes with `BETWEEN`, ``yes`` or ``no``, six decimals."""
    return [_text(getattr(beside, name)) for name in columns]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return cell(BETWEEN.join(value))
    return f"{value:.6f}" if isinstance(value, float) else ""


def in_words(beside: Beside) -> str:
    """Return this in words, for a line of text; empty where nothing is said."""
    words = []
    if beside.set is not None:
        words.append("{" + ", ".join(beside.set) + "}")
    if beside.abstains:
        words.append("abstains")
    if beside.suspicion is not None:
        words.append(f"suspicion {beside.suspicion:.3f}")
    if beside.alarm:
        words.append("alarm")
    return "; ".join(words)
