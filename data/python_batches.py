"""Reads the "python version" of CIFAR without unpickling it.

Those files are pickles, and unpickling runs whatever a file asks for. Here the opcodes are listed by
`pickletools` (which executes nothing) and followed by a machine that knows numbers, text, lists, tuples,
dictionaries and arrays of bytes. Anything else is refused by name.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError

RECONSTRUCT = {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
NAMES = RECONSTRUCT | {"numpy ndarray", "numpy dtype"}
"""The only global names that a file may mention; none of them is ever imported or called."""
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "BINFLOAT", "FLOAT"),
        *("STRING", "SHORT_BINSTRING", "BINSTRING"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
    )
)
"""Opcodes whose argument is the value. Old strings (8-bit) come as text in Latin-1."""
IGNORED = frozenset(("PROTO", "FRAME", "STOP"))


@dataclass(frozen=True)
class _Name:
    text: str


@dataclass
class _Kind:
    code: str


@dataclass
class _Array:
    """An array under construction."""

    value: NDArray[np.uint8] | None = None


class _Mark:
    """Marks a place on the stack."""


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode."""
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in ACTIONS:
            ACTIONS[name](self, argument)
        elif name not in IGNORED:
            raise ValueError(f"it asks for {name}, which a CIFAR batch does not need")

    def to_mark(self) -> list[Any]:
        """Pop everything above the last mark, and the mark."""
        items: list[Any] = []
        while not isinstance(top := self.stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def put(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def name(self, text: str | None) -> None:
        if text is None:
            attribute, module = self.stack.pop(), self.stack.pop()
            text = f"{module} {attribute}"
        if text not in NAMES:
            raise ValueError(f"it names '{text}', which a CIFAR batch does not need")
        self.stack.append(_Name(text))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("it appends to something that is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("it sets items of something that is no dictionary")
        target.update(_pairs(items))

    def last(self, amount: int) -> list[Any]:
        """Pop the last ``amount`` objects."""
        if amount > len(self.stack):
            raise IndexError("stack is empty")
        items = self.stack[len(self.stack) - amount :]
        del self.stack[len(self.stack) - amount :]
        return items

    def reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Name) or not isinstance(arguments, tuple) or not arguments:
            raise ValueError("it calls something that a CIFAR batch does not need")
        if called.text in RECONSTRUCT:
            self.stack.append(_Array())
        elif called.text == "numpy dtype":
            self.stack.append(_Kind(str(arguments[0])))
        else:
            raise ValueError(f"it calls '{called.text}'")

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Array):
            target.value = _array(state)
        elif not isinstance(target, _Kind):
            raise ValueError("it sets the state of something that is no array")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2 or not all(isinstance(key, str | bytes | int) for key in items[::2]):
        raise ValueError("a dictionary in it is damaged")
    return dict(zip(items[::2], items[1::2], strict=True))


def _array(state: Any) -> NDArray[np.uint8]:
    """Return the array that a state (version, shape, type, Fortran order, bytes) describes."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("an array in it is damaged")
    _, shape, kind, fortran, raw = state
    if not isinstance(kind, _Kind) or kind.code not in ("u1", "|u1"):
        raise ValueError("an array in it does not hold bytes")
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("an array in it has no shape")
    data = raw.encode("latin-1") if isinstance(raw, str) else raw
    if not isinstance(data, bytes) or len(data) != math.prod(shape):
        raise ValueError(f"an array in it does not fill its shape {shape}")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": lambda m, _: m.stack.append(_Mark()),
    "POP": lambda m, _: m.last(1).clear(),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "LIST": lambda m, _: m.stack.append(m.to_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.to_mark())),
    "DICT": lambda m, _: m.stack.append(_pairs(m.to_mark())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.last(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.last(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.last(3))),
    "APPEND": lambda m, _: m.extend(m.last(1)),
    "APPENDS": lambda m, _: m.extend(m.to_mark()),
    "SETITEM": lambda m, _: m.update(m.last(2)),
    "SETITEMS": lambda m, _: m.update(m.to_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), lambda m, place: m.put(place)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, place: m.stack.append(m.memo[place])),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), lambda m, text: m.name(text)),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
}


def read_batch(path: Path) -> dict[str, Any]:
    """Return the dictionary in a CIFAR batch (or meta) file.

    Args:
        path: a file of protocol 0 to 4 that holds text, numbers, lists and uint8 arrays only.

    Returns:
        Its items; keys as text, arrays as uint8 numpy arrays (read-only).

    Raises:
        DataError: unreadable, damaged, or asking for anything that such a file does not need.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(path.read_bytes()):
            machine.step(opcode.name, argument)
        (found,) = machine.stack
        if not isinstance(found, dict):
            raise ValueError("it holds no dictionary")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise DataError(f"is not a CIFAR batch: {error}", where=str(path)) from None
    return {_text(key): value.value if isinstance(value, _Array) else value for key, value in found.items()}


def _text(key: Any) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)
