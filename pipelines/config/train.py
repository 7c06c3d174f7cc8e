"""`TrainConfig`: the configuration of ``task: train``, as YAML and as a Python object."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.method import Method
from clearsight.data.contract.registry import Choice, Registry
from clearsight.data.contract.spec import Flow, Gradient, Number, PartSpec, Spec, kind_of
from clearsight.data.corruption_mixture import CorruptionMixture
from clearsight.data.sources.base import HoldOut, Source
from clearsight.defend.base import ClassifierSpec
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.training.standard import Standard
from clearsight.pipelines.config.registries import METHODS
from clearsight.pipelines.config.tasks import Name, Task
from clearsight.restore.base import RestorerSpec
from clearsight.restore.catalogue import RESTORERS, SENSES
from clearsight.restore.sense_base import SenseSpec

TRAINABLE = Registry(
    "network",
    PartSpec,
    *CLASSIFIERS.packages,
    *RESTORERS.packages,
    *SENSES.packages,
    only=lambda kind: kind.trainable,
)

WHAT = {Flow.IMAGES: "restorer", Flow.LOGITS: "classifier", Flow.DAMAGE: "sense"}
"""What a network is called, by what it gives."""
Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]


class Augment(Spec):
    """Changes of the training images that keep their label, drawn anew every step."""

    crop: Annotated[int, Field(ge=0)] = 4
    """Move the image by up to this many pixels each way; the border is mirrored. 0: never."""
    flip: bool = True
    """Mirror left and right with probability 1/2; not for road signs or letters."""
    rotate: bool = False
    """For the crops that a restorer learns from: mirror up and down and turn by quarter turns, which together
    mirror left and right too, whatever ``flip`` says."""
    degrees: Annotated[Number, Field(gt=0, le=180)] | None = None
    """Turn the image by up to this many degrees each way; for classifiers. null: never."""
    zoom: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Enlarge or shrink the image by up to this share, each axis separately; for classifiers. null: never."""
    brightness: Annotated[Number, Field(gt=0, le=1)] | None = None
    """Multiply all values by a factor drawn from [1 - this, 1 + this]; for classifiers. null: never."""
    cutout: Annotated[int, Field(ge=0)] = 0
    """Side in pixels of a square that is greyed at a random place (DeVries & Taylor 2017). 0: none."""
    corruptions: CorruptionMixture | None = None
    """Corrupt a part of the images before they are moved and flipped; for classifiers. An evaluation on the
    same kinds then says nothing of unseen ones: report those it did not train on separately."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the images; newer fields are left out where unused, so that keys stay."""
        return _without_unused(super().identity(), "corruptions", "degrees", "zoom", "brightness")


class SGD(Spec):
    """Stochastic gradient descent with Nesterov momentum."""

    kind: Literal["sgd"] = "sgd"
    rate: Positive = 0.1
    """Highest learning rate."""
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum; 0 turns it off."""
    decay: Annotated[Number, Field(ge=0)] = 5e-4
    """Weight decay; norms and biases are left out."""


class AdamW(Spec):
    """AdamW (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    rate: Positive = 1e-3
    """Highest learning rate."""
    betas: tuple[Number, Number] = (0.9, 0.999)
    """Decay of the two moments."""
    decay: Annotated[Number, Field(ge=0)] = 0.01
    """Weight decay; norms and biases are left out."""


class Schedule(Spec):
    """Learning rate over the share of the budget that is used up: linear warm-up, then a half cosine."""

    warmup: Share = 0.1
    """Share of the budget until the highest rate is reached."""
    final: Share = 0.0
    """Rate at the end, as a share of the highest one."""


class Publish(Spec):
    """What the card of the weights says, and where they go."""

    id: Name | None = None
    """Id of the weights; the run's name where left out."""
    folder: str | None = None
    """Folder to write; ``weights/<id>`` in the run folder where left out."""
    about: str = ""
    """Where the training data come from, in words."""
    licence: str = "as the owner of the images says"
    """Licence of the weights."""
    limits: str = ""
    """What they are not good for."""


class TrainConfig(Task):
    """Train one model on one source. Give ``minutes`` or ``epochs``."""

    command: ClassVar[str] = "train"
    recipes: ClassVar[str] = "train"

    task: Literal["train"] = "train"
    name: Name
    """Name of the run folder."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random follows from it: fresh weights, order, augmentation, the method's own draws."""
    data: Annotated[Source, Choice(SOURCES)]
    """For a classifier, labelled images of one size; for a restorer, photographs of any size."""
    reference: Annotated[Source, Choice(SOURCES)] | None = None
    """For methods that learn from unpaired images: the normally lit ones; ``data`` has the dark ones."""
    validation: HoldOut = HoldOut(fraction=0.1)
    """Part of ``data`` (of ``reference``, where there is one) that is never trained on: it chooses the
    checkpoint."""
    test: Annotated[Source, Choice(SOURCES)] | None = None
    """Images that decide nothing: measured once, at the end, for the card."""
    model: Annotated[ClassifierSpec | RestorerSpec | SenseSpec, Choice(TRAINABLE)]
    """The network: a classifier, a restorer or a sense. With ``weights`` it starts from them, else from fresh
    ones."""
    init: str | None = None
    """Weights (id or folder) whose tensors of equal name and shape are taken over; the others start fresh."""
    method: Annotated[Method, Choice(METHODS)] = Standard()
    """How it is trained."""
    through: tuple[Annotated[RestorerSpec, Choice(RESTORERS)], ...] = ()
    """Of a classifier: restorers that every image goes through first, in this order, in training and in
    all measurements. The attack of the method goes through them too. They must be deterministic and have an
    exact gradient."""
    train_through: bool = False
    """Train the restorers of ``through`` with the classifier and publish their weights beside its own; else
    they stay as they are."""
    recognisers: tuple[Annotated[ClassifierSpec, Choice(CLASSIFIERS)], ...] = ()
    """Of a restorer: classifiers with weights that its method looks through; they stay as they are. Keep the
    classifiers that it is tested with out of this list, to see whether it helps others too."""
    augment: Augment = Augment()
    patch: Annotated[int, Field(ge=8)] = 64
    """Side in pixels of the random crops that a restorer learns from; a classifier sees whole images."""
    optimiser: Annotated[SGD | AdamW, Field(discriminator="kind")] = SGD()
    schedule: Schedule = Schedule()
    minutes: Positive | None = None
    """Budget in minutes of wall-clock time in the loop; reading the data comes on top."""
    epochs: Positive | None = None
    """Budget in passes over the data; with it a run can be repeated and resumed to the last bit."""
    batch: Annotated[int, Field(ge=1)] = 128
    """Images per step; an incomplete batch at the end of an epoch is dropped."""
    ema: Annotated[Number, Field(ge=0, lt=1)] | None = 0.999
    """Decay of the moving average of the weights, which is what is measured and kept; null: none."""
    swa: Share | None = None
    """From this share of the budget on, what is measured and kept is the plain mean of the weights after each
    step (stochastic weight averaging, Izmailov et al. 2018), in place of ``ema``; before it, the weights as
    they are. It needs a learning rate that stays high: set schedule.final to 0.05 or more."""
    clip: Positive | None = None
    """Scale the gradient down to this norm where it is larger; null: never."""
    checks: Annotated[int, Field(ge=1)] = 10
    """How often, evenly over the budget, the validation part is measured; the best weights are kept."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """bf16 computes convolutions and matrix products in half precision (autocast); losses and figures stay in
    fp32. auto times a few steps of both before the first and takes the faster, which the card names; a run
    that is resumed keeps it. What is faster depends on the machine, and so do the weights."""
    compile: bool = False
    """Compile the network (torch.compile): the first steps take a minute, the others less, a seventh on a
    CPU, which needs a C++ compiler for it. Results differ by rounding."""
    publish: Publish = Publish()

    @model_validator(mode="before")
    @classmethod
    def _one_average(cls, value: Any) -> Any:
        # The default of 'ema' steps back behind 'swa', so that what is stored can be read again.
        if isinstance(value, dict) and value.get("swa") is not None:
            if value.get("ema") is not None:
                raise ValueError("give either 'ema' or 'swa'")
            return value | {"ema": None}
        return value

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.minutes is None) == (self.epochs is None):
            raise ValueError("give either 'minutes' or 'epochs'")
        return self

    @model_validator(mode="after")
    def _method_fits(self) -> Self:
        if self.method.trains is not self.model.gives:
            fit = [kind for kind, each in METHODS.kinds.items() if each.trains is self.model.gives]
            raise ValueError(
                f"method '{kind_of(self.method)}' does not train a"
                f" {WHAT[self.model.gives]}; these do: {', '.join(fit)}"
            )
        if self.method.needs_reference != (self.reference is not None):
            needs = "needs" if self.method.needs_reference else "takes no"
            raise ValueError(f"method '{kind_of(self.method)}' {needs} 'reference'")
        if self.method.needs_recognisers != bool(self.recognisers):
            needs = "needs" if self.method.needs_recognisers else "takes no"
            raise ValueError(f"method '{kind_of(self.method)}' {needs} 'recognisers'")
        return self

    @model_validator(mode="after")
    def _chain_fits(self) -> Self:
        if self.model.gives is not Flow.LOGITS:
            changes = ("corruptions", "degrees", "zoom", "brightness")
            unfit = ["through"] if self.through else []
            unfit += [f"augment.{name}" for name in changes if getattr(self.augment, name) is not None]
            if unfit:
                raise ValueError(f"'{unfit[0]}' is for classifiers")
        if self.train_through and not self.through:
            raise ValueError("'train_through' needs 'through'")
        for part in self.through:
            if part.gradient is not Gradient.EXACT:
                raise ValueError(
                    f"'{part.name}' cannot be trained through: its gradient is {part.gradient}, not exact"
                )
            if part.stochastic:
                raise ValueError(
                    f"'{part.name}' cannot be trained through: it draws random numbers, so that a run could"
                    " not be repeated"
                )
        return self

    @property
    def restores(self) -> bool:
        """True where the model is a restorer."""
        return self.model.gives is Flow.IMAGES

    @property
    def run_folder(self) -> str:
        """Name of the folder that a run writes into, below that of all runs."""
        return f"train_{self.name}_{self.key()[:10]}"

    def identity(self) -> dict[str, Any]:
        """Return what decides the weights; the words on their card are left out.

        Fields that came later and are not used are left out too: the key, and with it the name of a run's
        folder, stays what it was.
        """
        told = {name: value for name, value in super().identity().items() if name != "publish"}
        return _without_unused(told, "swa", "through", "train_through", "recognisers", "compile")

    def within(self, minutes: float | None) -> TrainConfig:
        """Return this config with another budget of wall-clock minutes; None changes nothing.

        Raises:
            ConfigError: the budget is not positive.
        """
        if minutes is None:
            return self
        if minutes <= 0:
            raise ConfigError("a budget is more than 0 minutes", where="minutes")
        # A copy keeps which fields of the model were left to its weights.
        return self.model_copy(update={"minutes": minutes, "epochs": None})


def _without_unused(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the fields without those of these names that are None, False or empty lists."""
    # 0 is a value: it equals False, but is not False.
    said = (name for name, value in fields.items() if not (value is None or value is False or value == []))
    kept = {*said, *(fields.keys() - names)}
    return {name: value for name, value in fields.items() if name in kept}
