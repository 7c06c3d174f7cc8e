"""What the truth checks look at: `AttackRecord`. Plain numbers, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.spec import kind_of
from clearsight.defend.attacks.base import Attack
from clearsight.defend.probe import Strength
from clearsight.pipelines.runs.columns import Columns

LEAD = 0.002
"""Share of images by which a weaker attacker must not win: the 0.2 points of Croce and Hein (2020)."""


@dataclass(frozen=True)
class Facts:
    """What an attack noted beside its rows, summed over the chunks of a cell.

    Attributes:
        through: part of the victim -> how the gradient went through it.
        broken: parts that claim an exact gradient and have none.
        false: parts that have a gradient which finite differences contradict.
        members: what each member of a composition did and cost.
    """

    through: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    members: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class AttackRecord:
    """One attacked cell.

    Attributes:
        name: the attack's name in the config.
        attack: the attack.
        columns: its rows.
        facts: what it noted.
        random: whether the system has random parts.
        draws: draws that the attacker averaged over; 1 where its victim has no random parts.
        classes: number of classes, None where it is not known.
        victim_random: whether the attacker's victim has random parts.
    """

    name: str
    attack: Attack
    columns: Columns
    facts: Facts = field(default_factory=Facts)
    random: bool = False
    draws: int = 1
    classes: int | None = None
    victim_random: bool = False

    @property
    def kind(self) -> str:
        """Return the attack's kind."""
        return kind_of(self.attack)

    @property
    def one_step(self) -> bool:
        """Return True for an attack of a single gradient step."""
        return self.attack.strength is Strength.ONE_STEP

    @property
    def full_strength(self) -> bool:
        """Return True for an attack that no attack with less knowledge may beat."""
        return self.attack.strength is Strength.FULL

    @property
    def right(self) -> NDArray[np.float64]:
        """Return (n,) 1 where the image is right; by vote where the system has random parts."""
        return outcome(self.columns, random=self.random)

    @property
    def accuracy(self) -> float:
        """Return the share of right images."""
        return float(self.right.mean())

    @property
    def sees_gradient(self) -> bool:
        """Return True where the attack used gradients."""
        return self.attack.sees == "gradient" and self.attack.threat not in ("scores", "labels")

    @property
    def adaptive(self) -> bool:
        """Return True for a white-box attack on the whole system."""
        return self.sees_gradient and self.attack.threat == "adaptive"

    @property
    def worked_on(self) -> NDArray[np.bool_]:
        """Return (n,) True for the images that were right for the victim to begin with."""
        queries, backwards = (self.columns.get(name) for name in ("queries", "backwards"))
        if queries is None or backwards is None:
            return np.zeros(len(self.columns["correct"]), dtype=np.bool_)
        # An image that is already wrong costs one query a draw, and no gradient.
        return np.asarray((backwards > 0) | (queries > self.draws), dtype=np.bool_)


def outcome(columns: Columns, *, random: bool) -> NDArray[np.float64]:
    """Return (n,) 1 where the image is right; by majority where that was measured and draws are random."""
    votes = columns.get("majority")
    if random and votes is not None and not np.isnan(votes).any():
        return votes
    return columns["correct"]


def points(share: float) -> str:
    """Return a share as a percentage in words."""
    return f"{100.0 * share:.1f} %"
