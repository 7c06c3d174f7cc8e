"""Replays the adversarial images that an earlier run kept, on any system."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from clearsight.data.contract.errors import AttackError, ConfigError, DataError, RunError, near_miss
from clearsight.data.contract.run_folder import RunFolder
from clearsight.defend.attacks.base import Attack
from clearsight.defend.probe import Sees

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from clearsight.data.contract.rng import Rng
    from clearsight.defend.target import AttackBatch, Target

PLACES = ("system", "attack", "condition")
"""Fields that name a cell of a run; the result depends on its images alone."""


class Replay(Attack):
    """Takes each image from those that an attack with ``keep: true`` left in a run folder.

    They are used for every image, also for those that the system gets wrong anyway. Nothing is asked of the
    system, so any will do: one without gradients, an ONNX file, or one that was fixed since.
    """

    kind: Literal["replay"] = "replay"
    purpose: ClassVar[str] = "adversarial images that an earlier run kept"
    sees: ClassVar[Sees] = "nothing"

    path: Annotated[str, Field(min_length=1)]
    """The run folder; a relative path is resolved like that of a data source."""
    system: str
    """Name of the system in that run that was attacked."""
    attack: str
    """Name of the attack in that run; it must have had ``keep: true``."""
    condition: str = "clean"
    """Name of the condition in that run."""

    def ready(self) -> None:
        """Raise `ClearsightError` unless the run kept images of this cell."""
        self.files()

    def identity(self) -> dict[str, Any]:
        """Return the fields, with the images' checksums in place of what names them."""
        fields = {name: v for name, v in super().identity().items() if name not in ("path", *PLACES)}
        return fields | {"images": list(self.files().values())}

    def files(self) -> dict[Path, str]:
        """Return the files of the kept images with their sha256, in the order of the chunks.

        Raises:
            ConfigError: no such folder, no such cell, or nothing was kept of it.
            RunError: a file of that run is damaged, or is of something else.
        """
        folder = self._folder()
        resolved = _read(folder)
        cell = self._cell(resolved["cells"])
        key, files = cell["key"], {}
        for number in folder.done_chunks(key):
            path = folder.adversarial(key, number)
            checksum = _checksum(folder, key, number, _stamp(folder.seal(key, number)), _stamp(path))
            if checksum is not None:
                files[path] = checksum
        if not files:
            attack = resolved.get("config", {}).get("attacks", {}).get(self.attack, {})
            raise ConfigError(
                f"that run kept no images of attack '{self.attack}' on system '{self.system}',"
                f" condition '{self.condition}'",
                where=self._where,
                hint="finish that run first"
                if attack.get("keep")
                else f"write 'keep: true' in attack '{self.attack}' there and run it again",
            )
        return files

    def passes(self, classes: int) -> tuple[int, int]:
        """Return the most passes that one image can cost."""
        return 0, 0

    def __call__(self, target: Target, batch: AttackBatch, rng: Rng) -> Tensor:
        """Return the kept images of all ids.

        Raises:
            AttackError: an id without an image, or one of another shape.
        """
        import torch

        images = self._images(batch.ids)
        for name, image in zip(batch.ids, batch.images, strict=True):
            if name not in images:
                raise AttackError(
                    f"no image of '{name}' was kept",
                    where=self._where,
                    hint="replay on the same images, and finish that run first",
                )
            if images[name].shape != image.shape:
                shapes = " to ".join(str(tuple(each.shape)) for each in (images[name], image))
                raise AttackError(
                    f"the kept image of '{name}' does not fit: {shapes}",
                    where=self._where,
                    hint="replay on images of the same size and condition",
                )
        return self._checked(torch.stack([images[name] for name in batch.ids]).to(batch.images), batch)

    @property
    def _where(self) -> str:
        return f"{self.kind} '{self.path}'"

    def _images(self, ids: Sequence[str]) -> dict[str, Tensor]:
        from safetensors import SafetensorError, safe_open

        wanted, out = set(ids), {}
        for path in self.files():
            try:
                with safe_open(path, framework="pt") as kept:
                    for name in wanted.intersection(kept.keys()):
                        out[name] = kept.get_tensor(name)
            except SafetensorError as error:
                raise RunError(f"damaged: {error}", where=str(path), hint="run that attack again") from None
        return out

    def _folder(self) -> RunFolder:
        from clearsight.data.home import locate

        try:
            folder = RunFolder(locate(self.path))
        except DataError as error:
            raise ConfigError(error.what, where=self._where, hint="fix 'path'") from None
        if not folder.resolved.is_file():
            raise ConfigError(
                f"this is no run folder: it has no {folder.resolved.name}",
                where=self._where,
                hint="give the folder that 'clearsight run' made, such as runs/2026-01-31_name_0123abcd",
            )
        return folder

    def _cell(self, cells: list[dict[str, str]]) -> dict[str, str]:
        left = cells
        for place in PLACES:
            wanted = getattr(self, place)
            known = {cell[place] for cell in left}
            left = [cell for cell in left if cell[place] == wanted]
            if not left:
                where = "" if place == "system" else f" measured for {self._so_far(place)}"
                raise ConfigError(
                    f"{place}: no {place} '{wanted}'{where} in that run",
                    where=self._where,
                    hint=near_miss(wanted, known),
                )
        return left[0]

    def _so_far(self, place: str) -> str:
        before = PLACES[: PLACES.index(place)]
        return ", ".join(f"{name} '{getattr(self, name)}'" for name in before)


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written; zeros where it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=4096)
def _checksum(folder: RunFolder, key: str, number: int, *_stamps: tuple[int, int]) -> str | None:
    """Return the sha256 of a chunk's images, after comparing; None where the chunk kept none.

    Remembered until a file changes: every batch asks for it.
    """
    from clearsight.data.seals import chunk_seal

    seal, path = chunk_seal(folder, key, number).opened(), folder.adversarial(key, number)
    checksum = seal.checksum(path)
    if checksum is not None:
        seal.read(path)
    return checksum


def _read(folder: RunFolder) -> dict[str, Any]:
    """Return what a run says of itself."""
    from clearsight.data.seals import Seal

    path = folder.resolved
    if folder.done.is_file():
        Seal(folder.path, folder.done).opened().read(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not all(name in cell for cell in found["cells"] for name in ("key", *PLACES)):
            raise KeyError("a cell without its names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"damaged: {error}", where=str(path), hint="run that config again") from None
    else:
        return dict(found)
