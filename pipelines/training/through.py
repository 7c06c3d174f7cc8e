"""A classifier behind a chain of restorers: both are trained, measured and attacked as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.rng import Rng
from clearsight.data.initial import initialise
from clearsight.data.weights import Weights, save
from clearsight.defend.classifier import Classifier
from clearsight.pipelines.systems.device import layout
from clearsight.pipelines.systems.gradient_paths import find_path
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.system import System
from clearsight.restore.base import RestorerSpec


class RestoreThenClassify(nn.Module):
    """Images in [0, 1], through the restorers, to the classifier's logits.

    Attributes:
        classifier: the module that is trained.
        classes: number of logits.
        trained: whether the restorers are trained too.
    """

    def __init__(self, restorers: System, classifier: Classifier, *, trained: bool) -> None:
        """Put the classifier behind the restorers.

        Restorers that stay as they are do not become submodules: no ``train()``, no optimiser, no average and
        no method that walks over the parameters can reach them.
        """
        super().__init__()
        self.classifier, self.classes, self.trained = classifier, classifier.classes, trained
        self._outside: list[System] = []
        if trained:
            self.inside = restorers
        else:
            self._outside.append(restorers.eval().requires_grad_(False))

    @property
    def restorers(self) -> System:
        """Return the chain."""
        return self.inside if self.trained else self._outside[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) of images (n, 3, h, w)."""
        out: Tensor = self.classifier(self.restorers(x))
        return out


def restore_then_classify(
    specs: Sequence[RestorerSpec],
    classifier: nn.Module,
    images: Tensor,
    *,
    trained: bool,
    rng: Rng,
) -> RestoreThenClassify:
    """Return the classifier behind these restorers.

    Args:
        specs: in order.
        classifier: on the CPU.
        images: a few training images (n, 3, h, w) in [0, 1], on which the gradient is checked.
        trained: whether the restorers are trained too.
        rng: stream of the initial weights of restorers that have none.

    Raises:
        ConfigError: a restorer takes no colour, lacks weights, cannot be trained or passes no gradient.
    """
    for number, spec in enumerate(specs):
        _check(spec, f"through[{number}]", trained=trained)
    graph = chain(*specs)
    restorers = graph.build()
    for number, (name, spec) in enumerate(zip(graph.parts, specs, strict=True)):
        part = restorers.part(name)
        if trained and not spec.trainable and any(True for _ in part.parameters()):
            raise ConfigError(
                f"'{spec.name}' cannot be trained: its weights are not its own",
                where=f"through[{number}]",
                hint="set train_through: false",
            )
        if trained and spec.trainable and spec.weights is None:
            initialise(part.get_submodule("network"), rng.at(name))
    if broken := find_path(restorers, images.cpu()).broken:
        raise ConfigError(
            f"no gradient comes through '{graph.parts[broken[0]].name}'",
            where="through",
            hint="leave it out: the classifier could not learn against attacks on the whole",
        )
    if trained and not any(parameter.requires_grad for parameter in restorers.parameters()):
        raise ConfigError("none of the restorers has weights to train", where="train_through")
    device = images.device
    order = layout(restorers, str(device))
    restorers.to(device=device, memory_format=order)  # type: ignore[call-overload]
    return RestoreThenClassify(restorers, cast(Classifier, classifier), trained=trained)


def _check(spec: RestorerSpec, where: str, *, trained: bool) -> None:
    if 3 not in spec.resolved().facts.channels:
        raise ConfigError(f"'{spec.name}' takes grey images only", where=where, hint="use one for colour")
    if not trained and spec.weights is None and spec.trainable:
        raise ConfigError(
            f"'{spec.name}' has no weights", where=where, hint="give 'weights', or set train_through: true"
        )


def network_of(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a state of ``model`` that belong to its network, by their names there."""
    return _below(state, "classifier.network." if isinstance(model, RestoreThenClassify) else "network.")


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def publish_restorers(
    model: RestoreThenClassify, state: Mapping[str, Tensor], folder: Path, card: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Write the weights of restorers that were trained, and return what the classifier's card says of all.

    Args:
        model: classifier and restorers.
        state: of the model, the weights that are kept.
        folder: of the classifier's weights; those of restorer i go to ``<folder>-through<i>`` beside it.
        card: of the classifier.
    """
    told = []
    for number, (name, spec) in enumerate(model.restorers.graph.parts.items(), start=1):
        about: dict[str, Any] = {"spec": spec.model_dump(mode="json"), "fingerprint": spec.fingerprint()}
        part = model.restorers.part(name)
        prefix = next(key for key, each in model.named_modules() if each is part) if model.trained else ""
        if model.trained and (tensors := _below(state, f"{prefix}.network.")):
            own = folder.with_name(f"{folder.name}-through{number}")
            about["trained"] = _save_restorer(own, tensors, card, part.spec, number).card["id"]
        told.append(about)
    return told


def _save_restorer(
    folder: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any], spec: Any, number: int
) -> Weights:
    partner = card["id"]
    limits = (
        f"Trained to help the classifier {partner}, which stands behind it, and by its loss alone: it is no"
        " restorer for the eye, and was not judged as one. The figures are the accuracy of both together."
    )
    return save(
        folder,
        tensors,
        dict(card)
        | {
            "id": f"{partner}-through{number}",
            "spec": spec.model_dump(mode="json", exclude={"weights"}),
            "limits": f"{limits} {card['limits']}".strip(),
            "trained_with": partner,
        },
    )
