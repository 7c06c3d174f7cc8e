"""An attack that the user's own Python code is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import AttackError, first_line
from clearsight.data.contract.spec import Spec
from clearsight.data.user_code import FAULTS, wanted
from clearsight.data.user_spec import UserCode
from clearsight.defend.attacks.base import BallAttack
from clearsight.defend.probe import Sees, Strength

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target


class DeclaredSight(Spec):
    """What `Probe` says of itself, where it is the config that knows it."""

    sees: Sees = "gradient"
    """The least that it must be shown of the system: ``gradient``, ``scores`` or ``labels``."""


class PythonAttack(UserCode, DeclaredSight, BallAttack):
    """A function ``(target, batch)`` that returns adversarial images (n, c, h, w) in [0, 1] within the ball.

    This runs the code that ``call`` names, with all the rights of the user: use a config of this kind only
    if you trust the code it points at.

    ``target`` is a `clearsight.defend.target.Target`: ``target.logits(x, batch.rows)``,
    ``target.gradient(x, batch.rows, loss).gradient``. ``batch`` has ``images``, ``labels``, ``ids`` and
    ``rows`` of the images that are classified correctly. The function is also given ``eps``, ``norm`` and
    ``generators`` (a ``torch.Generator`` for each image) where it has parameters of these names. Shape, range
    and ball of the result are checked; what an image costs is counted.
    """

    kind: Literal["python"] = "python"
    purpose: ClassVar[str] = "a function of your own code"
    strength: ClassVar[Strength] = Strength.NARROW

    forwards: Annotated[int, Field(ge=1)] = 100
    """Forward passes that one image costs at most."""
    backwards: Annotated[int, Field(ge=0)] = 100
    """Backward passes that one image costs at most."""

    def identity(self) -> dict[str, Any]:
        """Return the fields, and the sha256 of the source file."""
        return super().identity() | {"code": self.code()}

    def ready(self) -> None:
        """Import the code.

        Raises:
            ConfigError: there is no such code.
        """
        super().ready()
        self.worker()

    def passes(self, classes: int) -> tuple[int, int]:
        """Return what the fields say."""
        return self.forwards, self.backwards

    def run(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return what the code makes of the images.

        Raises:
            AttackError: it fails, or returns no tensor.
        """
        from torch import Tensor

        function, arguments = self.worker()
        generators = [rng.at(name).torch() for name in batch.ids]
        offered = wanted(function, eps=self.eps, norm=self.norm, generators=generators)
        try:
            out = function(target, batch, **(offered | arguments))
        except FAULTS as error:
            shape = tuple(batch.images.shape)
            raise AttackError(f"it fails on images {shape}: {first_line(error)}", where=self.place) from error
        if not isinstance(out, Tensor):
            raise AttackError(f"it returns a {type(out).__name__}, not a tensor", where=self.place)
        return out.detach()
