"""Weights store: a folder with ``model.safetensors`` and ``card.json``, checked by sha256.

Nothing is ever unpickled, and nothing is downloaded but what is named by its place on the hub
(``hub:owner/name@revision``). Shipped weights live in ``<room>/weights/<id>/``; a user's own live anywhere
(give the path) or in ``$CLEARSIGHT_HOME/weights/<id>/``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, WeightsError, first_line, near_miss
from clearsight.data.home import home, replace_file
from clearsight.data.hub_names import on_hub

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL, CARD = "model.safetensors", "card.json"
ROOMS = ("restore", "defend")
REQUIRED = (
    "id",
    "spec",
    "data",
    "recipe",
    "seed",
    "minutes",
    "machine",
    "figures",
    "limits",
    "licence",
    "sha256",
)
"""What every card must say."""
SENSE = "degradation-sense-v1"
"""Weights of the degradation sense that is used where none is named. They are named here because the command
line needs the name before it imports any spec."""


@dataclass(frozen=True)
class Weights:
    """Weights that were found: their folder and what their card says."""

    folder: Path
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Return the checksum that the card promises."""
        return str(self.card["sha256"])


def shipped() -> Iterator[Weights]:
    """Yield the weights inside the package, sorted by room and id."""
    root = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        for card in sorted((root / room / "weights").glob(f"*/{CARD}")):
            yield _read(card.parent)


def find(name: str) -> Weights:
    """Return the weights called ``name``: an id, the path of a folder, or a name on the hub.

    Raises:
        ConfigError: the hub's package is missing.
        DataError: the hub has no such repository, refuses or does not answer.
        WeightsError: there are none, or their card is damaged.
    """
    if on_hub(name):
        return _read(_fetched(name))
    if Path(name).is_dir():
        return _read(Path(name))
    root = Path(__file__).resolve().parent.parent
    for place in (*(root / room / "weights" for room in ROOMS), home() / "weights"):
        if (place / name / CARD).is_file():
            return _read(place / name)
    raise WeightsError(
        f"no weights '{name}'",
        hint=near_miss(name, [w.folder.name for w in shipped()]) + "; or give the path of a weights folder",
    )


def _fetched(name: str) -> Path:
    """Return the local folder of weights on the hub."""
    from clearsight.data.remote.hub import NotThereError, weights_at

    repo = weights_at(name)
    try:
        return repo.folder((CARD, MODEL))
    except NotThereError as error:
        raise WeightsError(
            "holds no weights that 'clearsight weights push' wrote",
            where=error.where,
            hint="for networks of others use {kind: timm}, {kind: huggingface} or {kind: onnx}",
        ) from None


def kind_of_weights(name: str, kinds: Container[str], *, refused: str, where: str) -> str:
    """Return the kind of the part that weights belong to.

    Args:
        name: an id, or the path of a folder.
        kinds: that are accepted.
        refused: what is said of weights of other kinds, such as ``which classifies nothing``.
        where: the option or field that named the weights.

    Raises:
        ConfigError: they belong to another kind.
        WeightsError: there are none, or their card is damaged.
    """
    kind = str(find(name).card["spec"]["kind"])
    if kind not in kinds:
        raise ConfigError(f"'{name}' are weights of '{kind}', {refused}", where=where)
    return kind


def _read(folder: Path) -> Weights:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read the card: {first_line(error)}", where=str(folder / CARD)) from None
    missing = [name for name in REQUIRED if name not in card] if isinstance(card, dict) else list(REQUIRED)
    if missing:
        raise WeightsError(f"the card lacks {', '.join(missing)}", where=str(folder / CARD))
    if not isinstance(card["spec"], dict) or not isinstance(card["spec"].get("kind"), str):
        raise WeightsError("'spec' of the card names no kind", where=str(folder / CARD))
    for name in ("id", "sha256"):
        if not isinstance(card[name], str):
            raise WeightsError(f"'{name}' of the card is not a string", where=str(folder / CARD))
    return Weights(folder, card)


def verify(weights: Weights) -> None:
    """Raise `WeightsError` unless the file is there and has the checksum of its card."""
    path = weights.folder / MODEL
    if not path.is_file():
        raise WeightsError("the file is missing", where=str(path), hint="restore it, or train it again")
    if digest(path) != weights.sha256:
        raise WeightsError(
            "sha256 differs from the card's", where=str(path), hint="the file is damaged: restore it"
        )


def digest(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state(name: str) -> dict[str, Tensor]:
    """Return the tensors of the weights called ``name`` (floats as float32), after checking their sha256.

    Raises:
        WeightsError: there are none, they are damaged, or they are not what their card says.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights = find(name)
    verify(weights)
    try:
        tensors = load_file(weights.folder / MODEL)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"is no whole safetensors file: {first_line(error)}", where=str(weights.folder / MODEL)
        ) from None
    return {
        key: value.to(torch.float32) if value.is_floating_point() else value for key, value in tensors.items()
    }


def load_into(network: nn.Module, name: str) -> None:
    """Put the weights called ``name`` into a network.

    Raises:
        WeightsError: as `state`, or tensors are missing, too many, or of other shapes than the network's.
    """
    try:
        network.load_state_dict(state(name), strict=True)
    except RuntimeError as error:
        told = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise WeightsError(
            f"weights '{name}' do not fit the network: {' '.join(told[1:2]) or first_line(error)}",
            hint="their card describes another network",
        ) from None


def save(
    folder: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any], *, half: bool = True
) -> Weights:
    """Write a weights folder; each file appears whole or not at all.

    Args:
        folder: where to; it is made if need be.
        tensors: a state dict.
        card: everything of `REQUIRED` but ``sha256``.
        half: keep floats in half precision.

    Raises:
        WeightsError: a tensor is not finite, as it is or in half precision (beyond 65504).
    """
    import torch
    from safetensors.torch import save as to_bytes

    kept = {
        key: value.detach()
        .cpu()
        .to(torch.float16 if half and value.is_floating_point() else value.dtype)
        .contiguous()
        for key, value in tensors.items()
    }
    broken = next((key for key, value in kept.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise WeightsError(
            f"tensor '{broken}' is not finite in {kept[broken].dtype}; nothing was written",
            where=str(folder),
            hint="train with a lower rate or more weight decay",
        )
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / MODEL, to_bytes(kept))
    full = dict(card) | {"sha256": digest(folder / MODEL)}
    replace_file(
        folder / CARD, (json.dumps(full, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )
    return _read(folder)
