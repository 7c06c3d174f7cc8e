"""`Attack`: what every attack says of itself."""

from __future__ import annotations

from typing import ClassVar

from data.contract.spec import Spec


class Attack(Spec):
    """Base of attacks. A subclass adds ``kind`` and its hyper-parameters."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""
