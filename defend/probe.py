"""`Probe`: the common base of what examines a system image by image; attacks derive from it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

from clearsight.data.contract.spec import Spec, kind_of

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target

Sees = Literal["nothing", "labels", "scores", "gradient", "layers"]


class Strength(StrEnum):
    """What a probe's result says about another one's: the sanity checks of attacks compare by it."""

    ONE_STEP = "one_step"
    """A single gradient step: every attack of full strength must do at least as well."""
    FULL = "full"
    """A white-box search of the whole threat model: no attack that knows less may do better."""
    NARROW = "narrow"
    """Searches something narrower (low frequencies, a patch) or knows less: a stronger rival proves nothing
    against it."""


class Probe(Spec):
    """Base of what examines a system. A subclass adds ``kind``, hyper-parameters and the hook `examine`."""

    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""
    sees: ClassVar[Sees] = "gradient"
    """The least that it must be shown of the system."""
    strength: ClassVar[Strength] = Strength.NARROW
    """What its result can be held against."""

    @property
    def stream(self) -> str:
        """Return the name of its random stream: equal probes draw equal numbers."""
        return kind_of(self)

    def fits(self, classes: int) -> None:
        """Hook: raise `AttackError` where it makes no sense for so few classes."""

    def examine(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Hook: return what was found, one row an image (n, ...)."""
        raise NotImplementedError

    def __call__(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Examine a batch; subclasses change `examine`, not this.

        Raises:
            AttackError: too few classes, or a result that cannot be.
        """
        self.fits(target.classes)
        return self.examine(target, batch, rng.at(self.stream))
