"""Data sets of the hub of Hugging Face, by repository, split and revision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.spec import content_key
from clearsight.data.hub_names import MAIN, REPO, REVISION
from clearsight.data.remote.hub import Repo, repo_at
from clearsight.data.sources.base import Entry, Index, Source
from clearsight.data.sources.hub_files import Files, files_of
from clearsight.data.sources.parquet import Parquet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Hub(Source):
    """One split of a data set on the hub: its parquet files, or its folder of class folders.

    Which files a split has, the ``configs`` of the repository's README.md say; without them, their names do
    (``data/test-00000-of-00002.parquet``, ``test/0000.parquet``, ``test/cat/1.png``). The files of the split
    are fetched whole, into the cache of huggingface_hub (``$HF_HOME``). A run works on one commit from its
    beginning to its end; the commit and the sha256 of every image are in the keys of its cells. Code of a
    repository is never executed. Needs ``pip install 'clearsight[hub]'``.
    """

    kind: Literal["hub"] = "hub"
    old_names: ClassVar[dict[str, str]] = {"revision": "ref"}
    purpose: ClassVar[str] = "a data set on the hub of Hugging Face (pip install clearsight[hub])"

    repo: Annotated[str, Field(pattern=rf"^{REPO}$")]
    """The data set: ``owner/name``."""
    split: Annotated[str, Field(pattern=r"^\w+(?:\.\w+)*$")]
    """Name of the split, as the page of the data set shows it: ``train``, ``test``, ``validation``."""
    ref: Annotated[str, Field(pattern=rf"^{REVISION}$")] = MAIN
    """Branch, tag or commit; may be written ``revision``. ``refs/convert/parquet`` is where the hub itself
    keeps data sets of other formats as parquet files."""
    config_name: str | None = None
    """Which configuration (the hub says: subset) of a data set that has several."""
    image_column: str = "image"
    """Column of parquet files that holds the encoded images."""
    label_column: str | None = "label"
    """Column of parquet files that holds the class indices; null reads the images without labels."""

    @property
    def everywhere(self) -> bool:
        """Return true: every machine may ask the hub for the commit."""
        return True

    def pinned(self) -> Self:
        """Return the same with the commit in place of the branch."""
        return self.model_copy(update={"ref": self._repo().commit})

    def scan(self) -> Index:
        """List the images of the split.

        Raises:
            DataError: no such data set, revision or split, or files that cannot be read.
        """
        repo = self._repo()
        files = files_of(repo, self.split, self.config_name)
        folder = repo.folder(files.names)
        return self._shards(repo, files.names) if files.parquet else _classed(repo, folder, files)

    def _repo(self) -> Repo:
        return repo_at("dataset", self.repo, self.ref)

    def _shards(self, repo: Repo, names: Sequence[str]) -> Index:
        entries: list[Entry] = []
        classes: tuple[str, ...] = ()
        for name in names:
            try:
                index = self._parquet(repo.file(name)).scan()
            except DataError as error:
                raise DataError(error.what, where=f"{repo.address}: {name}", hint=error.hint) from None
            classes = _agreed(classes, index.classes, repo, name)
            head = name.removesuffix(".parquet")
            entries += (
                replace(entry, id=f"{head}/{entry.place:06d}", place=f"{repo.commit}:{entry.place}:{name}")
                for entry in index.entries
            )
        return Index(tuple(entries), classes)

    def _parquet(self, path: Path) -> Parquet:
        return _opened(str(path), self.image_column, self.label_column)

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Decode one image."""
        from clearsight.data.media.images import decode

        return decode(self.content(entry), name=entry.id)

    def content(self, entry: Entry) -> bytes:
        """Return the encoded bytes of one image, fetched where this machine has not got them."""
        from clearsight.data.media.files import content

        commit, row, name = str(entry.place).split(":", 2)
        path = Repo("dataset", self.repo, commit).file(name)
        return self._parquet(path).content(replace(entry, place=int(row))) if row else content(path)

    def fingerprint(self, entries: Sequence[Entry], digests: Sequence[str] | None = None) -> str:
        """Return a key of what the images hold, and of the commit that they are from."""
        commits = sorted({str(entry.place).partition(":")[0] for entry in entries})
        return content_key([super().fingerprint(entries, digests), *commits])


@lru_cache(maxsize=64)
def _opened(path: str, image: str, label: str | None) -> Parquet:
    return Parquet(path=path, image_column=image, label_column=label)


def _classed(repo: Repo, folder: Path, files: Files) -> Index:
    """Return the images of a folder of class folders; ids are their paths in the repository."""
    from clearsight.data.sources.folder import labelled

    try:
        index = labelled(folder / files.root, f"{files.root}/")
    except DataError as error:
        raise DataError(error.what, where=f"{repo.address}: {files.root}", hint=error.hint) from None
    return replace(index, entries=tuple(_placed(index.entries, repo, files.root)))


def _placed(entries: Sequence[Entry], repo: Repo, root: str) -> Iterator[Entry]:
    for entry in entries:
        yield replace(entry, place=f"{repo.commit}::{root}/{entry.place}")


def _agreed(before: tuple[str, ...], here: tuple[str, ...], repo: Repo, name: str) -> tuple[str, ...]:
    """Return the classes of two files: those of one continue those of the other.

    A file without declared names counts its labels, and may lack the last ones.
    """
    longer, shorter = (before, here) if len(before) >= len(here) else (here, before)
    if longer[: len(shorter)] != shorter:
        raise DataError("has other classes than the files before it", where=f"{repo.address}: {name}")
    return longer
