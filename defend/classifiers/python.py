"""A classifier that the user's own Python code makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from clearsight.data.contract.errors import ConfigError, DataError
from clearsight.data.contract.spec import content_key
from clearsight.defend.foreign import ForeignClassifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from torch import nn


KEPT = 4
"""Modules that a process caches as their callables made them: a call may load gigabytes."""
_MADE: dict[tuple[str, str, tuple[int, ...]], nn.Module] = {}


class PythonClassifier(ForeignClassifier):
    """Any ``torch.nn.Module``, made by a function or class of the user's.

    This runs the code that ``call`` names, with all the rights of the user: use a config of this kind only
    if you trust the code it points at.

    The module maps float32 images (n, 3, h, w) to logits (n, classes), or to what the fields of
    `ForeignClassifier` say. It runs in eval mode, its parameters in float32 whatever they are stored in. Its
    gradient is assumed to be exact. The call is made with torch's global generator at a fixed state (restored
    afterwards), so fresh weights are the same each time.
    """

    purpose: ClassVar[str] = "a torch module of your own code"
    executes: ClassVar[str] = "call"

    kind: Literal["python"] = "python"
    call: Annotated[str, Field(pattern=r"^.+:[A-Za-z_][\w.]*$")]
    """``module:callable`` of an installed module, or ``path/to/file.py:callable``. What it returns is a
    ``torch.nn.Module``."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of the call."""

    @model_validator(mode="after")
    def _says_classes(self) -> Self:
        if self.classes is None and self.weights is None:
            raise ValueError("'classes' is needed: how many logits does the module give?")
        return self

    def ready(self) -> None:
        """Check what the fields name, and forget cached modules: their files may have changed."""
        super().ready()
        _MADE.clear()

    @property
    def place(self) -> str:
        """Return the kind and the call."""
        return f"{self.name} '{self.call}'"

    def network(self) -> nn.Module:
        """Return what the user's callable makes.

        Raises:
            ConfigError: the module or the callable is missing, the call fails, or gives no ``nn.Module``.
        """
        from copy import deepcopy

        key = (self.key(), self._code(), self._stamps())
        if key not in _MADE:
            _MADE[key] = self._made()
            if len(_MADE) > KEPT:
                del _MADE[next(iter(_MADE))]
        try:
            return deepcopy(_MADE[key])
        except Exception:  # noqa: BLE001 (whatever a user's module does when it is copied)
            # Some modules cannot be copied: then this one is handed over, and the next is made anew.
            return _MADE.pop(key)

    def _made(self) -> nn.Module:
        """Call the user's callable."""
        import torch
        from torch import nn

        from clearsight.data.contract.rng import Rng

        make = self._callable(self._module())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.set_state(Rng(0).at("python classifier").torch().get_state())
            try:
                made = make(**self.arguments)
            except Exception as error:
                reason = next(iter(str(error).strip().splitlines()), "")
                raise ConfigError(
                    f"the call fails: {type(error).__name__}: {reason}",
                    where=self.place,
                    hint="fix 'arguments', or the code",
                ) from error
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
        base, code = super().fingerprint(), self._code()
        return content_key([base, code, "" if self.weights else _state_digest(self.network())])

    def _code(self) -> str:
        """Return the sha256 of the source file."""
        from pathlib import Path

        from clearsight.data.weights import digest

        source = getattr(self._module(), "__file__", None)
        return digest(Path(source)) if source else ""

    def _stamps(self) -> tuple[int, ...]:
        """Return what changes when a file that an argument names is replaced."""
        from pathlib import Path

        named = (Path(value) for value in self.arguments.values() if isinstance(value, str))
        facts = [path.stat() for path in named if path.is_file()]
        return tuple(number for fact in facts for number in (fact.st_mtime_ns, fact.st_size))

    def _module(self) -> ModuleType:
        name = self.call.rpartition(":")[0]
        if name.endswith(".py"):
            return self._from_file(name)
        import importlib

        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"cannot import module '{name}': {error}",
                where=self.place,
                hint="install it, or write the path of its file: path/to/file.py:callable",
            ) from error

    def _from_file(self, name: str) -> ModuleType:
        from clearsight.data.home import locate

        try:
            path = locate(name)
        except DataError as error:
            raise ConfigError(error.what, where=self.place, hint="fix the path in 'call'") from None
        try:
            return _load(path)
        except ImportError as error:
            raise ConfigError(f"cannot import {path}: {error}", where=self.place) from error

    def _callable(self, module: ModuleType) -> Callable[..., object]:
        from clearsight.data.contract.errors import near_miss

        target: object = module
        for step in self.call.rpartition(":")[2].split("."):
            if not hasattr(target, step):
                known = [name for name in vars(target) if not name.startswith("_")]
                raise ConfigError(f"there is no '{step}'", where=self.place, hint=near_miss(step, known))
            target = getattr(target, step)
        if not callable(target):
            raise ConfigError(f"a {type(target).__name__} cannot be called", where=self.place)
        return target


def _load(path: Path) -> ModuleType:
    """Import a file once, under a name derived from its path and content."""
    import sys
    from hashlib import sha256
    from importlib.util import module_from_spec, spec_from_file_location

    name = "clearsight_user_" + sha256(str(path).encode() + path.read_bytes()).hexdigest()[:24]
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _state_digest(module: nn.Module) -> str:
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
