"""The attack that does nothing: accuracy without an adversary."""

from __future__ import annotations

from typing import ClassVar, Literal

from defend.attacks.base import Attack


class NoAttack(Attack):
    """No adversary."""

    kind: Literal["none"] = "none"
    purpose: ClassVar[str] = "no adversary"
