"""A classifier that the user's own Python code makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import content_key
from clearsight.data.user_spec import UserCode, state_digest
from clearsight.defend.foreign import ForeignClassifier

if TYPE_CHECKING:
    from torch import nn


class PythonClassifier(UserCode, ForeignClassifier):
    """Any ``torch.nn.Module``, made by a function or class of the user's.

    This runs the code that ``call`` names, with all the rights of the user: use a config of this kind only
    if you trust the code it points at.

    The module maps float32 images (n, 3, h, w) to logits (n, classes), or to what the fields of
    `ForeignClassifier` say. It runs in eval mode, its parameters in float32 whatever they are stored in. Its
    gradient is assumed to be exact. The call is made once in each process, with torch's global generator at a
    fixed state (restored afterwards), so fresh weights are the same each time.
    """

    purpose: ClassVar[str] = "a torch module of your own code"

    kind: Literal["python"] = "python"

    @model_validator(mode="after")
    def _says_classes(self) -> Self:
        if self.classes is None and self.weights is None:
            raise ValueError("'classes' is needed: how many logits does the module give?")
        return self

    def network(self) -> nn.Module:
        """Return what the user's callable makes.

        Raises:
            ConfigError: the module or the callable is missing, the call fails, or gives no ``nn.Module``.
        """
        from torch import nn

        made = self.made()
        if not isinstance(made, nn.Module):
            raise ConfigError(f"returns a {type(made).__name__}, not a torch.nn.Module", where=self.place)
        if any(isinstance(each, nn.UninitializedParameter) for each in made.parameters()):
            raise ConfigError(
                "has layers without a size (LazyLinear and the like)",
                where=self.place,
                hint="let the call put one batch through the module before it returns it",
            )
        # Images are float32 everywhere; a module in another precision would refuse them.
        return made.float()

    def fingerprint(self) -> str:
        """Return a key of the fields, of the source file and of every tensor of the module's state."""
        base, code = super().fingerprint(), self.code()
        return content_key([base, code, "" if self.weights else state_digest(self.network())])
