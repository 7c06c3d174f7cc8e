"""Reads the "python version" of CIFAR: pickles, of which nothing but plain values and bytes is taken.

Unpickling calls whatever a file names. Here a name is never looked up: numpy's three become stand-ins that
hold bytes, others are refused. What the unpickler itself would do for a hostile file (memory for a memo of
four billion places, hashing tuples nested a million deep) is refused before it sees the file.
"""

from __future__ import annotations

import io
import math
import pickle  # noqa: TID251 (the one place: `_Reader` looks no name up)
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.contract.errors import DataError

RECONSTRUCT = {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
NAMES = RECONSTRUCT | {"numpy ndarray", "numpy dtype"}
"""The only global names that a file may mention; none of them is ever imported or called."""
OPCODES = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE"),
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "BINFLOAT", "FLOAT"),
        *("STRING", "SHORT_BINSTRING", "BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT", "LIST", "TUPLE", "DICT", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
        *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    )
)
"""What such files are made of; persistent ids, extensions, objects and out-of-band buffers are not."""
MOST_PLACES = 1 << 20
"""Places of the memo: the unpickler reserves memory up to the highest. CIFAR-100 needs 50,000."""
MOST_TUPLES = 100
"""An array needs four; nested, their number is the depth of the recursion that hashes them."""

DAMAGED = (
    *(pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError),
    *(EOFError, ArithmeticError, MemoryError),
)
"""What the unpickler raises for files that are damaged or hostile."""


class _Array:
    """Stands for an array under construction."""

    value: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        """Take numpy's state: version, shape, type, Fortran order, bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array in it is damaged")
        _, shape, kind, fortran, raw = state
        if not isinstance(kind, _Type) or kind.code not in ("u1", "|u1"):
            raise ValueError("an array in it does not hold bytes")
        if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
            raise ValueError("an array in it has no shape")
        data = raw.encode("latin-1") if isinstance(raw, str) else raw
        if not isinstance(data, bytes) or len(data) != math.prod(shape):
            raise ValueError(f"an array in it does not fill its shape {shape}")
        self.value = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


class _Type:
    """Stands for a numpy data type."""

    def __init__(self, code: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment: bytes have none."""


class _Name:
    """Stands for one of `NAMES`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, *arguments: Any) -> _Array | _Type:
        """Return the stand-in of what numpy would make."""
        if self.text in RECONSTRUCT:
            return _Array()
        if self.text == "numpy dtype" and arguments:
            return _Type(arguments[0])
        raise ValueError(f"it calls '{self.text}'")

    def __setstate__(self, state: Any) -> None:
        """Refuse: a name has no state."""
        raise ValueError("it sets the state of something that is not an array")


class _Reader(pickle.Unpickler):
    """Unpickler that never looks up a name."""

    def find_class(self, module: str, name: str) -> _Name:
        """Return a stand-in for one of `NAMES`; refuse every other."""
        text = f"{module} {name}"
        if text not in NAMES:
            raise ValueError(f"it names '{text}', which a CIFAR batch does not need")
        return _Name(text)


def _check_opcodes(data: bytes) -> None:
    """Refuse what costs memory or depth out of proportion; `pickletools` lists and executes nothing."""
    tuples = 0
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in OPCODES:
            raise ValueError(f"it asks for {opcode.name}, which a CIFAR batch does not need")
        if opcode.name in ("PUT", "LONG_BINPUT") and not 0 <= (argument or 0) < MOST_PLACES:
            raise ValueError(f"it asks for place {argument} of a memo, more than a CIFAR batch needs")
        tuples += opcode.name.startswith("TUPLE")
    if tuples > MOST_TUPLES:
        raise ValueError(f"it holds {tuples} tuples, more than a CIFAR batch needs")


def read_batch(path: Path) -> dict[str, Any]:
    """Return the dictionary in a CIFAR batch (or meta) file.

    Args:
        path: a file of protocol 0 to 4 that holds text, numbers, lists and uint8 arrays only.

    Returns:
        Its items; keys as text, arrays as uint8 numpy arrays (read-only). Old strings (8-bit) come as text in
        Latin-1.

    Raises:
        DataError: unreadable, damaged, or asking for anything that such a file does not need.
    """
    try:
        data = path.read_bytes()
        _check_opcodes(data)
        batch = _Reader(io.BytesIO(data), encoding="latin-1").load()
        if not isinstance(batch, dict) or not all(isinstance(key, str | bytes) for key in batch):
            raise ValueError("it holds no dictionary")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path)) from None
    except DAMAGED as error:
        raise DataError(f"is not a CIFAR batch: {error}", where=str(path)) from None
    return {_text(key): value.value if isinstance(value, _Array) else value for key, value in batch.items()}


def _text(key: str | bytes) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else key
