"""Counter-based randomness: every random number is a function of (seed, path, sample id).

A stream is named, never drawn from a shared state. So results cannot depend on batch size, on the order
of samples, on the number of processes or on where a run was resumed, and nothing touches the global
generators of ``random``, ``numpy`` or ``torch``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Rng:
    """A named random stream.

    Example:
        ``Rng(0).at("corrupt", "fog", 3, "cifar10/test/00042").numpy()`` is the same stream on every machine.
    """

    seed: int
    path: tuple[str, ...] = ()

    def at(self, *names: str | int | float) -> Rng:
        """Return the stream below this one that is called by these names."""
        return Rng(self.seed, (*self.path, *map(str, names)))

    def digest(self) -> bytes:
        """Return 32 bytes that only this seed and path give."""
        # Length prefixes keep ("a", "bc") and ("ab", "c") apart.
        text = f"{self.seed}" + "".join(f"|{len(name)}:{name}" for name in self.path)
        return hashlib.sha256(text.encode()).digest()

    def integer(self, bits: int = 63) -> int:
        """Return a non-negative integer of at most ``bits`` (1 to 256) bits."""
        return int.from_bytes(self.digest(), "little") & ((1 << bits) - 1)

    def numpy(self) -> np.random.Generator:
        """Return a fresh numpy generator (Philox 4x64, Salmon et al. 2011) at the start of this stream."""
        from clearsight.data.contract.philox import generator

        return generator(self.digest())

    def torch(self, device: str = "cpu") -> torch.Generator:
        """Return a fresh torch generator at the start of this stream."""
        import torch

        return torch.Generator(device=device).manual_seed(self.integer(63))
