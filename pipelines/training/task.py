"""`TrainingTask`: what the loop must know of the kind of network it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from clearsight.data.contract.method import TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.spec import PartSpec


class Score(Protocol):
    """What a measurement says."""

    @property
    def rank(self) -> tuple[float, float]:
        """What chooses the checkpoint: the greatest is best, the second number breaks ties."""

    def text(self) -> str:
        """Return one line."""

    def figure(self) -> dict[str, Any]:
        """Return the figures with their intervals, for the card."""


class Decoded(Protocol):
    """Decoded images of one part."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that could not be used."""


class TrainingTask(ABC):
    """Images of one run, and how its network is measured on them.

    Attributes:
        spec: the network's description, completed from the data (classes).
        ids: names of the training images.
        fingerprint: key of what they hold.
        passed_over: source (``data``, perhaps ``test`` and ``reference``) -> files that are not used.
    """

    spec: PartSpec
    ids: tuple[str, ...]
    fingerprint: str
    passed_over: Mapping[str, Sequence[Skipped]]

    @abstractmethod
    def decoded(self) -> Mapping[str, Decoded]:
        """Return part (``train``, ``validation``, perhaps ``test`` and ``reference``) -> its images."""

    @property
    def skipped(self) -> dict[str, list[dict[str, str]]]:
        """Return part -> id and reason of each image that could not be used; parts that lost any only."""
        return {
            name: [{"id": image.id, "reason": image.reason} for image in part.skipped]
            for name, part in self.decoded().items()
            if part.skipped
        }

    @property
    @abstractmethod
    def measured(self) -> tuple[str, ...]:
        """Names of the parts that `score` can measure: ``validation`` and perhaps ``test``."""

    def wrapped(self, model: nn.Module, rng: Rng) -> nn.Module:
        """Return the module that is trained, scored and attacked: the model, or more around it.

        Args:
            model: with the weights that training starts from, on the CPU.
            rng: the stream of fresh weights.
        """
        return model

    @abstractmethod
    def batch(self, rows: Tensor, rng: Rng, share: float) -> TrainBatch:
        """Return an augmented batch of these training images."""

    @abstractmethod
    def score(self, model: nn.Module, part: str, *, state: dict[str, Tensor]) -> Score:
        """Measure a model with these weights; its own weights and its mode are restored afterwards."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what the card says of the images beside where they come from."""
