"""`Method`: a way of training. The loop that runs it exists once, in ``pipelines/training/loop.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from clearsight.data.contract.spec import Flow, Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clearsight.data.contract.rng import Rng

MODEL = "model"
"""Name of the network whose weights the run publishes; the others only help to train it."""
UNKNOWN = -1
"""Label of an unlabelled image among labelled ones."""


@dataclass
class Tally:
    """What a method counts while it works; the loop sums it up and shows it.

    Attributes:
        passes: gradients computed for attacks, one for each image and pass: what stopping early saves. The
            pass at which an image stops is computed, and counted, too.
    """

    passes: int = 0


@dataclass(frozen=True)
class TrainBatch:
    """What one step sees.

    Attributes:
        images: float32 (n, c, h, w) in [0, 1], augmented.
        labels: int64 (n,), `UNKNOWN` where an image has none; None where the method asks for none.
        ids: one stable name an image.
        share: fraction of the training budget used so far, 0 to 1.
        reference: float32 (n, c, h, w) in [0, 1], images of another source (the normally lit ones of an
            unpaired method), or None where the config names none.
        history: of every check so far, oldest first, the share of the budget at which it was made, and what
            chose the checkpoint (accuracy on the validation part, under attack if the method has one; for a
            restorer its dB).
        recognisers: frozen classifiers in eval mode that a restorer is judged by; empty where the config
            names none.
        tally: where the method counts its work.
    """

    images: Tensor
    labels: Tensor | None
    ids: tuple[str, ...]
    share: float = 0.0
    reference: Tensor | None = None
    history: tuple[tuple[float, float], ...] = ()
    recognisers: tuple[nn.Module, ...] = ()
    tally: Tally = field(default_factory=Tally, compare=False)


class Method(Spec):
    """Base of training methods. A subclass adds ``kind``, hyper-parameters and ``step``."""

    trains: ClassVar[Flow] = Flow.LOGITS
    """What the trained networks output: images (restorers) or logits (classifiers)."""
    purpose: ClassVar[str] = ""
    """One line for ``clearsight list``."""
    needs_reference: ClassVar[bool] = False
    """True where the config must name a second source, ``reference``."""
    needs_recognisers: ClassVar[bool] = False
    """True where the config must name frozen classifiers, ``recognisers``."""

    @property
    def robust_validation(self) -> str:
        """Return what `validation_attack` does, for the log and the card; empty where it changes nothing."""
        return ""

    def validation_attack(self, model: nn.Module, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """Return the images that choose the checkpoint of a classifier.

        A method that trains for accuracy on changed images, such as attacked ones, overrides this together
        with `robust_validation`. The loop then measures validation and test both as they are and changed, and
        keeps the weights that are best on the changed ones.

        Args:
            model: the classifier in eval mode; its weights, mode and gradients stay as they are.
            images: float32 (n, c, h, w) in [0, 1], of the validation or the test part.
            labels: int64 (n,).
            rng: a stream of these images, the same at every check.
        """
        return images

    def networks(self, model: nn.Module) -> dict[str, nn.Module]:
        """Return all modules that take part, by name: at least ``model`` itself.

        Each one with parameters that require a gradient gets an optimiser of its own (a GAN has two);
        fresh weights of the others are drawn by the loop unless the module carries ``pretrained = True``. All
        are checkpointed.
        """
        return {MODEL: model}

    def step(
        self, networks: Mapping[str, nn.Module], batch: TrainBatch, rng: Rng
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (network, loss): the loop clears that network's gradients, backpropagates and steps it.

        Args:
            networks: what `networks` returned, in train mode; a method may switch modes but leaves that.
            batch: one batch on the model's device.
            rng: the stream of this step; a method that draws per image adds the image's id.
        """
        raise NotImplementedError
