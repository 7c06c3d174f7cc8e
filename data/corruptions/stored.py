"""A published benchmark on disk as a condition: ImageNet-C's and CIFAR-C's own files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Self

from clearsight.data.contract.errors import DataError
from clearsight.data.corruptions.damage import Damage
from clearsight.data.sources.cifar_c import CifarC
from clearsight.data.sources.imagenet_c import ImageNetC

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clearsight.data.contract.rng import Rng
    from clearsight.data.contract.sample import Sample
    from clearsight.data.sources.entries import Entry

LISTED = 2
"""Conditions whose files a process keeps in mind: a run goes through them one after the other."""


class StoredDamage(Damage):
    """One corruption at one severity, looked up for every image instead of computed.

    An image is found by its name: in ImageNet-C by class folder and file name without its ending, in CIFAR-C
    by its number among the test images. It must have the size that the images of the run have after ``size``
    and ``crop``; it is not resized itself, for the published files are what the network is to see.
    """

    reads_disk: ClassVar[bool] = True

    source: ImageNetC | CifarC
    """Where the files lie; without any selection or resizing of its own."""
    digest: str = ""
    """What the files of the run's images hold; `bound` sets it."""

    @property
    def kind(self) -> str:
        """Return the name of the corruption, as the benchmark writes it."""
        return self.source.corruption

    @property
    def severity(self) -> int:
        """Return the severity, 1 to 5."""
        return self.source.severity

    @property
    def clean(self) -> bool:
        """Return False: there is no severity 0 on disk."""
        return False

    @property
    def table(self) -> str:
        """Return whose severity constants the files were made with."""
        return self.source.kind

    @property
    def all_tables(self) -> tuple[str, ...]:
        """Return the same, as a tuple."""
        return (self.table,)

    @property
    def group(self) -> str:
        """Return the family of the corruption of that name, ``extra`` where no such one is known."""
        from clearsight.data.catalogue import CORRUPTIONS

        known = CORRUPTIONS.kinds.get(self.kind)
        return known.group if known else "extra"

    def fitted(self, side: float) -> Self:
        """Return it as it is: the files were made for one size."""
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the images: what the files hold, not where they lie."""
        source = self.source
        told = {"on_disk": source.kind, "corruption": source.corruption, "severity": source.severity}
        return told | {"holds": self.digest}

    def ready(self) -> None:
        """Raise `DataError` unless the benchmark, the corruption and the severity are there."""
        self.source.ready()
        _listed(self.source)

    def lacking(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        """Return id -> reason of the images that the benchmark does not have, or whose files are unreadable.

        Raises:
            DataError: the labels of the two do not go together, so these are other images.
        """
        found = _listed(self.source)
        missing: dict[str, str] = {}
        means: dict[int | None, int | None] = {}
        for entry in entries:
            mine = found.get(_name(self.source, entry.id))
            if mine is None:
                missing[entry.id] = f"not in {self._place()}"
                continue
            if means.setdefault(mine.truth, entry.truth) != entry.truth:
                raise DataError(
                    f"its label {mine.truth} means {means[mine.truth]} for other images of 'data', and"
                    f" {entry.truth} for '{entry.id}'",
                    where=self._place(),
                    hint="use the undamaged images of the same benchmark as 'data'",
                )
        return missing

    def bound(self, entries: Sequence[Entry]) -> Self:
        """Return it with the digest of the files of these images."""
        found = _listed(self.source)
        mine = [found[_name(self.source, entry.id)] for entry in entries]
        return self.model_copy(update={"digest": self.source.fingerprint(mine)})

    def of(self, sample: Sample, rng: Rng) -> NDArray[np.uint8]:
        """Return the stored image of a sample.

        Raises:
            DataError: it is not there, cannot be decoded or has another size.
        """
        entry = _listed(self.source).get(_name(self.source, sample.id))
        if entry is None:
            raise DataError(f"has no image '{sample.id}'", where=self._place())
        try:
            image = self.source.load(entry)
        except DataError as error:
            raise DataError(
                error.what,
                where=f"{self._place()}, {entry.name}",
                hint="put the published file in its place, or delete it: the image is left out then",
            ) from None
        if image.shape != sample.image.shape:
            (height, width), (high, wide) = image.shape[:2], sample.image.shape[:2]
            raise DataError(
                f"'{entry.name}' has {height}x{width} pixels, the undamaged image {high}x{wide}",
                where=self._place(),
                hint=f"set data.size to {height} (and data.crop as the benchmark did)",
            )
        return image

    def _place(self) -> str:
        return f"{self.source.path}, {self.source.corruption}, severity {self.source.severity}"


@lru_cache(maxsize=LISTED)
def _listed(source: ImageNetC | CifarC) -> dict[str, Entry]:
    """Return name -> image of one corruption and severity."""
    return {_name(source, entry.id): entry for entry in source.scan().entries}


def _name(source: ImageNetC | CifarC, id_: str) -> str:
    """Return what an image and its damaged version have in common."""
    path = PurePosixPath(id_)
    if isinstance(source, CifarC):
        return path.name
    return f"{path.parent.name}/{path.stem}"
