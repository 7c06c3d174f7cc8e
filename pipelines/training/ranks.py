"""`Ranks`: the processes that train one network together, and what they tell each other.

Every process runs the whole loop: the same seeds give all of them the same batches, draws and decisions. What
is divided among them are the passes through networks (`clearsight.pipelines.training.dividing`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from clearsight.data.contract.errors import ConfigError, RunError
from clearsight.data.cores import usable_cores

T = TypeVar("T")


class LostProcessError(RunError):
    """Another process of the training ended or cannot be reached."""


class Ranks:
    """This process among those of a training; alone where there is but one.

    Attributes:
        rank: number of this process, 0 to ``size`` - 1; the first one writes the files.
        size: how many there are.
        device: where tensors are that are sent: ``cpu`` or ``cuda``.
        dividing: whether passes through networks are divided now.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: str = "cpu") -> None:
        """Describe a process whose group has been joined; without arguments, the only one."""
        self.rank, self.size, self.device = rank, size, device
        self.dividing = size > 1

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: copies of a network belong to the same processes."""
        return self

    @classmethod
    def joined(cls, device: str) -> Ranks:
        """Join the others, as torchrun's environment says: gloo between CPUs, NCCL between GPUs.

        Args:
            device: ``cpu`` or ``cuda``; on GPUs each process of a machine takes one of its own.

        Raises:
            ConfigError: nothing started this process as one of several, or there are too few GPUs.
            LostProcessError: the others cannot be reached.
        """
        try:
            rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            place = int(os.environ.get("LOCAL_RANK", rank))
            beside = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        except (KeyError, ValueError):
            raise ConfigError(
                "this is not one of several processes",
                where="environment (RANK, WORLD_SIZE)",
                hint="start it by torchrun, or give --processes",
            ) from None
        if device.startswith("cuda"):
            if beside > (found := torch.cuda.device_count()):
                raise ConfigError(
                    f"{beside} processes and {found} GPUs",
                    where="--processes",
                    hint="each process needs a GPU of its own; or use --device cpu",
                )
            torch.cuda.set_device(place)
        elif "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, usable_cores() // beside))
        ranks = cls(rank, size, device)
        backend = "nccl" if device.startswith("cuda") else "gloo"
        ranks._sent(lambda: dist.init_process_group(backend, rank=rank, world_size=size))
        return ranks

    def leave(self) -> None:
        """End the work together: from here on this process is alone."""
        self.dividing = False
        if self.size > 1:
            dist.destroy_process_group()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let this process send whole batches through networks, whatever the others do meanwhile."""
        before, self.dividing = self.dividing, False
        try:
            yield
        finally:
            self.dividing = before

    def rows(self, n: int, rank: int | None = None) -> slice:
        """Return which of n rows are this process's, or another one's: neighbours, none where n is small."""
        which = self.rank if rank is None else rank
        return slice(n * which // self.size, n * (which + 1) // self.size)

    def summed(self, x: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, equal to the last bit in each of them."""
        out = x.detach().clone(memory_format=torch.contiguous_format)
        self._add(out)
        return out

    def gathered(self, part: Tensor, n: int) -> Tensor:
        """Return n rows of which each process has its `rows`; what it has beyond those is left out."""
        counts = [len(range(n)[self.rows(n, rank)]) for rank in range(self.size)]
        most = max(counts)
        sent = part.new_zeros((most, *part.shape[1:]))
        sent[: counts[self.rank]] = part.detach()[: counts[self.rank]]
        each = self._collect(sent)
        return torch.cat([rows[:count] for rows, count in zip(each, counts, strict=True)])

    def first(self, value: float) -> float:
        """Return the first process's value of a number."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        self._tell(told)
        return float(told)

    def first_bytes(self, content: bytes | None) -> bytes | None:
        """Return the first process's bytes, or None where it has none."""
        if self.size == 1:
            return content
        length = int(self.first(-1 if content is None else len(content)))
        if length < 0:
            return None
        told = torch.empty(length, dtype=torch.uint8)
        if self.rank == 0 and content is not None:
            told = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        told = told.to(self.device)
        self._tell(told)
        return told.cpu().numpy().tobytes()

    def refuse_other_data(self, fingerprint: str) -> None:
        """Refuse to train where processes have read different images.

        Raises:
            RunError: the fingerprints differ.
        """
        digest = hashlib.sha256(fingerprint.encode()).digest()[:8]
        own = torch.tensor([int.from_bytes(digest, "little", signed=True)], device=self.device)
        if self.size > 1 and bool((self.gathered(own, self.size) != own).any()):
            raise RunError(
                "the processes have read different images", where="data", hint="copy the same data everywhere"
            )

    def refuse_drift(self, model: nn.Module) -> None:
        """Refuse to go on where the processes no longer have the same weights.

        Raises:
            RunError: they differ.
        """
        if self.size == 1:
            return
        sums = torch.stack([value.double().sum() for value in model.state_dict().values()])
        each = self.gathered(sums[None].to(self.device), self.size)
        if not torch.equal(each, each[:1].expand_as(each)):
            raise RunError(
                "the processes no longer have the same weights: their machines compute differently",
                where="training",
                hint="use machines of one kind",
            )

    def _add(self, x: Tensor) -> None:
        """Add the others' tensors to this one, in place."""
        self._sent(lambda: dist.all_reduce(x))

    def _collect(self, x: Tensor) -> list[Tensor]:
        """Return the tensors of all, which have one shape, by rank."""
        each = [torch.empty_like(x) for _ in range(self.size)]
        self._sent(lambda: dist.all_gather(each, x))
        return each

    def _tell(self, x: Tensor) -> None:
        """Put what the first process has in the place of this tensor."""
        self._sent(lambda: dist.broadcast(x, 0))

    def _sent(self, collective: Callable[[], T]) -> T:
        try:
            return collective()
        except (RuntimeError, ValueError, OSError) as error:
            raise LostProcessError(
                "another process of this training ended or cannot be reached",
                where=f"process {self.rank} of {self.size}",
                hint="run the same command again to go on",
            ) from error
