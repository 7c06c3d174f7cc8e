"""`PackagedClassifier`: what networks of other packages (timm, torchvision, transformers) have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from clearsight.data.contract.errors import ConfigError, DataError, WeightsError, first_line
from clearsight.data.contract.spec import content_key
from clearsight.defend.base import Triple
from clearsight.defend.foreign import ForeignClassifier

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from torch import Tensor, nn

CACHE = "cache"


@dataclass(frozen=True)
class Known:
    """What a package says of one of its networks.

    Attributes:
        classes: logits of its pretrained weights.
        names: of these classes; empty where the package has none.
        mean, std: normalisation of its pretrained weights.
        input_size: height and width, where it takes no other size.
    """

    classes: int
    names: tuple[str, ...] = ()
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    input_size: tuple[int, int] | None = None


class PackagedClassifier(ForeignClassifier):
    """Base of networks that another package builds. A subclass adds ``kind`` and the hooks below.

    Nothing is downloaded: weights are those in the package's own cache (``checkpoint: cache``), in a file, or
    trained here (``weights``). Normalisation, number and names of classes that are left out are those of the
    package.
    """

    package: ClassVar[str]
    """What is imported."""
    extra: ClassVar[str]
    """What ``pip install clearsight[...]`` is told to bring it."""

    model: Annotated[str, Field(min_length=1)]
    """Name that the package calls the network by."""
    checkpoint: str | None = None
    """``cache``: the pretrained weights that the package has in its own cache already; or the path of a
    ``.safetensors`` file with the package's names of tensors. Left out: fresh weights, to be trained.
    Not used where ``weights`` are given."""
    only: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2)] | None = None
    """Keep the logits of these classes only, in this order, so that labels count from 0."""

    @model_validator(mode="after")
    def _only_some(self) -> Self:
        if self.only is not None and len(set(self.only)) < len(self.only):
            raise ValueError("only: holds a class twice")
        if self.only is not None and self.classes not in (None, len(self.only)):
            raise ValueError(f"'classes' follows from 'only': leave it out (it is {len(self.only)})")
        return self

    @property
    def place(self) -> str:
        """Return the kind and the network's name."""
        return f"{self.name} '{self.model}'"

    @property
    def pretrained(self) -> bool:
        """Return whether it has learned something."""
        return self.weights is not None or self.checkpoint is not None

    def known(self) -> Known:
        """Hook: return what the package says of the network."""
        raise NotImplementedError

    def bare(self, classes: int) -> nn.Module:
        """Hook: return the network with fresh weights and so many logits."""
        raise NotImplementedError

    def cached(self) -> Path | None:
        """Hook: return the file of pretrained weights in the package's cache, None where there is none."""
        raise NotImplementedError

    def download_hint(self) -> str:
        """Hook: return how the weights get into the cache."""
        raise NotImplementedError

    def imported(self) -> ModuleType:
        """Return the package.

        Raises:
            ConfigError: it is not installed.
        """
        import importlib

        try:
            return importlib.import_module(self.package)
        except ImportError as error:
            raise ConfigError(
                f"the package '{self.package}' cannot be imported: {first_line(error)}",
                where=self.place,
                hint=f"pip install clearsight[{self.extra}]",
            ) from None

    def ready(self) -> None:
        """Raise `ClearsightError` unless package, network and weights are there."""
        super().ready()
        if self.checkpoint is not None and self.weights is None:
            self._file()

    def resolved(self) -> Self:
        """Return this spec with what was left out taken from the weights' card, or else from the package.

        Raises:
            ConfigError: the package is missing, or knows no such network.
        """
        full = super().resolved()
        known, told = full.known(), full.model_fields_set
        fields: dict[str, Any] = {}
        if not told & {"mean", "std", "statistics", "value_range"}:
            fields |= {"mean": known.mean, "std": known.std}
        if full.input_size is None and known.input_size is not None:
            fields["input_size"] = known.input_size
        if full.classes is None:
            fields["classes"] = known.classes if full.only is None else len(full.only)
        if not full.class_names and fields.get("classes", full.classes) == known.classes:
            fields["class_names"] = known.names
        elif not full.class_names and full.only is not None and known.names:
            fields["class_names"] = tuple(known.names[i] for i in full.only if i < len(known.names))
        return full.model_copy(update=fields)

    def network(self) -> nn.Module:
        """Return the network with its weights.

        Raises:
            ConfigError: the package is missing, or knows no such network.
            WeightsError: the weights are not there, or do not fit.
        """
        from clearsight.data.user_code import steady_generator

        count = self.known_classes if self.only is None else self.known().classes
        with steady_generator():
            network = self.bare(count)
        if self.checkpoint is not None and self.weights is None:
            self._load(network)
        return network if self.only is None else chosen(network, self.only, self.place)

    def fingerprint(self) -> str:
        """Return the key of the resolved spec together with the sha256 of the weights."""
        if self.weights is not None:
            return super().fingerprint()
        from clearsight.data.user_spec import state_digest

        return content_key([self.resolved().identity(), state_digest(self.resolved().network())])

    def _load(self, network: nn.Module) -> None:
        path = self._file()
        try:
            network.load_state_dict(read_tensors(path))
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{path.name} does not fit: {first_line(error)}",
                where=self.place,
                hint="give the network, and the number of 'classes', that the file was trained for",
            ) from error

    def _file(self) -> Path:
        if self.checkpoint == CACHE:
            path = self.cached()
            if path is None:
                raise WeightsError(
                    "its pretrained weights are not in the package's cache, and nothing is downloaded here",
                    where=self.place,
                    hint=self.download_hint(),
                )
            return path
        from clearsight.data.home import locate

        assert self.checkpoint is not None
        try:
            path = locate(self.checkpoint)
        except DataError as error:
            raise WeightsError(error.what, where=self.place, hint="fix 'checkpoint'") from None
        if path.suffix != ".safetensors":
            raise WeightsError(f"{path.name} is no .safetensors file", where=self.place)
        return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.safetensors`` file, or of a ``.pth`` whose name ends in its checksum.

    Raises:
        WeightsError: the file has another checksum than its name says.
    """
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    import torch

    from clearsight.data.weights import digest

    promised = path.stem.rpartition("-")[2]
    if not digest(path).startswith(promised):
        raise WeightsError(
            "sha256 differs from the one in its name", where=str(path), hint="download it again"
        )
    # The bytes are those that the name promises, and weights_only reads tensors, not objects.
    return dict(torch.load(path, map_location="cpu", weights_only=True))  # noqa: TID251


def chosen(network: nn.Module, only: tuple[int, ...], place: str) -> nn.Module:
    """Return a module that gives some of a network's logits."""
    from clearsight.defend.networks.chosen import Chosen

    return Chosen(network, only, place)
