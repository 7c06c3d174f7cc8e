"""`UserCode`: what kinds have in common whose work is done by code of the user's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Spec, content_key, kind_of
from clearsight.data.user_code import PATTERN, called, source_digest, stamps, user_callable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

KEPT = 8
"""Results that a process caches as their callables gave them: a call may load gigabytes."""
_MADE: dict[tuple[str, str, tuple[int, ...]], Any] = {}


class UserCode(Spec):
    """Base of kinds that run the code that ``call`` names, with all the rights of the user.

    Use a config of such a kind only if you trust the code it points at.
    """

    executes: ClassVar[str] = "call"

    call: Annotated[str, Field(pattern=PATTERN)]
    """``module:callable`` of an installed module, or ``path/to/file.py:callable``."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of the call."""

    def __hash__(self) -> int:
        """Return a hash of the fields, some of which are mappings."""
        return hash((type(self), json.dumps(self.model_dump(mode="json"), sort_keys=True, allow_nan=False)))

    @property
    def place(self) -> str:
        """Return the kind and the call."""
        return f"{kind_of(self)} '{self.call}'"

    def ready(self) -> None:
        """Check what the fields name, and forget what the call gave: what it reads may have changed."""
        super().ready()
        for key in [key for key in _MADE if key[0] == self._question()]:
            del _MADE[key]

    def function(self) -> Callable[..., Any]:
        """Return the callable itself.

        Raises:
            ConfigError: there is none.
        """
        return user_callable(self.call, self.place)

    def code(self) -> str:
        """Return the sha256 of the source file.

        Raises:
            ConfigError: there is none.
        """
        return source_digest(self.call, self.place)

    def made(self) -> Any:
        """Return a copy of what the call gives; in one process it is called once.

        Raises:
            ConfigError: there is no such callable, or the call fails.
        """
        from copy import deepcopy

        key = self._make()
        try:
            return deepcopy(_MADE[key])
        except Exception:  # noqa: BLE001 (whatever a user's object does when it is copied)
            # Some objects cannot be copied: then this one is handed over, and the next is made anew.
            return _MADE.pop(key)

    def worker(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return what does the work of a kind without weights, and the keyword arguments of each call.

        A function is called with ``arguments`` each time. A class is called with them once in each process,
        and what it made is called without.

        Raises:
            ConfigError: there is no such callable, or what the class makes cannot be called.
        """
        named = self.function()
        if not isinstance(named, type):
            return named, dict(self.arguments)
        made = _MADE[self._make()]
        if not callable(made):
            raise ConfigError(f"a {type(made).__name__} cannot be called", where=self.place)
        return made, {}

    def _make(self) -> tuple[str, str, tuple[int, ...]]:
        """Call the callable where that has not been done, and return the place of the result."""
        key = (self._question(), self.code(), stamps(self.arguments))
        if key not in _MADE:
            _MADE[key] = called(self.call, self.place, self.arguments)
            if len(_MADE) > KEPT:
                del _MADE[next(iter(_MADE))]
        return key

    def _question(self) -> str:
        return content_key([self.call, self.arguments])


def state_digest(module: nn.Module) -> str:
    """Return the sha256 over name, type, shape and bytes of every tensor of the state dict."""
    from hashlib import sha256

    from torch import Tensor, uint8

    total = sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            total.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            total.update(value.detach().cpu().contiguous().flatten().view(uint8).numpy().tobytes())
        else:
            total.update(f"{name}|{value!r}|".encode())
    return total.hexdigest()
