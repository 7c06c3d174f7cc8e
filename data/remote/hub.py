"""The hub of Hugging Face, through huggingface_hub (``clearsight[hub]``): files by commit, and pushing some.

Files lie in that package's own cache (``$HF_HOME``), which it shares with its other users. A branch or tag is
asked for once in a process and is that commit from then on. With ``HF_HUB_OFFLINE=1`` nothing is asked: what
was fetched before is used, and the rest is an error. ``HF_ENDPOINT`` names another server; who asks is told
by ``HF_TOKEN`` or ``hf auth login``, never by a config.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

from clearsight.data.contract.errors import ConfigError, DataError, first_line
from clearsight.data.home import expanded, home, replace_file
from clearsight.data.hub_names import COMMIT, MAIN, NAME, OWNED

T = TypeVar("T")
RepoType = Literal["model", "dataset"]

TOGETHER = 8
"""Files that are fetched at a time."""
OFFLINE = {"1", "ON", "YES", "TRUE"}


class NotThereError(DataError):
    """The repository is there, the file is not."""


@dataclass(frozen=True)
class Repo:
    """A repository at one commit."""

    type: RepoType
    name: str
    commit: str

    @property
    def address(self) -> str:
        """Return what messages call it."""
        return f"{self.name}@{self.commit[:12]}"

    def names(self) -> tuple[str, ...]:
        """Return the paths of all its files, sorted.

        Raises:
            DataError: the hub refuses or does not answer.
        """
        place = _cached(str(home() / "remote" / "hub"), self.type, self.name)
        record = place / f"{self.commit}.json"
        if record.is_file():
            return tuple(json.loads(record.read_bytes()))
        if offline() and not self._snapshot.is_dir():
            raise DataError("was never fetched, and HF_HUB_OFFLINE is set", where=self.address)
        if offline():
            # Fetched by another user of the cache: what lies there is what there is.
            return tuple(sorted(p.relative_to(self._snapshot).as_posix() for p in _files(self._snapshot)))
        found = _info(self.type, self.name, self.commit).siblings or ()
        names = tuple(sorted(each.rfilename for each in found))
        if odd := [name for name in names if name.startswith("/") or ".." in name.split("/")]:
            raise DataError(f"'{odd[0]}' is no name of a file", where=self.address)
        record.parent.mkdir(parents=True, exist_ok=True)
        replace_file(record, json.dumps(names, allow_nan=False).encode())
        return names

    def file(self, name: str) -> Path:
        """Return the local copy of a file, fetched if it is not there yet.

        Raises:
            DataError: there is no such file, or the hub refuses or does not answer.
        """
        copy = self._snapshot / name
        if copy.is_file():
            return copy
        told = _settings()
        return Path(
            _asked(
                f"{self.address}: {name}",
                lambda hub: hub.hf_hub_download(
                    self.name,
                    name,
                    repo_type=self.type,
                    revision=self.commit,
                    cache_dir=told.cache,
                    endpoint=told.endpoint,
                    local_files_only=told.offline,
                ),
            )
        )

    def folder(self, names: Sequence[str]) -> Path:
        """Return the local folder of the repository, with some of its files fetched.

        Raises:
            DataError: as of `file`.
        """
        missing = [name for name in names if not (self._snapshot / name).is_file()]
        if missing:
            with ThreadPoolExecutor(TOGETHER) as pool, _quiet(len(missing)):
                list(pool.map(self.file, missing))
        return self._snapshot

    @property
    def _snapshot(self) -> Path:
        """Return where the cache keeps this commit, as its documentation says."""
        return _cached(_settings().cache, self.type, self.name) / "snapshots" / self.commit


@dataclass(frozen=True)
class _Settings:
    """What the environment says: read at every call, where huggingface_hub reads it once."""

    endpoint: str | None
    cache: str
    offline: bool


def _settings() -> _Settings:
    told = os.environ.get
    base = told("HF_HOME") or f"{told('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    cache = told("HF_HUB_CACHE") or f"{base}/hub"
    return _Settings(told("HF_ENDPOINT") or None, str(expanded(cache)), offline())


def offline() -> bool:
    """Return whether the environment forbids to ask the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in OFFLINE


def weights_at(name: str) -> Repo:
    """Return the repository of weights on the hub, at the commit that its revision stands for now.

    Raises:
        ConfigError: the name has another form, or huggingface_hub is missing.
        DataError: there is none, the hub refuses, or does not answer.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError("is no name on the hub", where=name, hint="write hub:owner/name@revision")
    return repo_at("model", match[1], match[2] or MAIN)


def repo_at(type: RepoType, name: str, revision: str) -> Repo:
    """Return a repository at the commit that a revision stands for, which is asked for once in a process.

    Raises:
        ConfigError: huggingface_hub is missing.
        DataError: there is none, the hub refuses, or does not answer.
    """
    if COMMIT.fullmatch(revision):
        return Repo(type, name, revision)
    return Repo(type, name, _commit(type, name, revision, _settings()))


@lru_cache(maxsize=256)
def _commit(type: RepoType, name: str, revision: str, told: _Settings) -> str:
    # The cache's own record of what a branch was when it was last asked for.
    record = _cached(told.cache, type, name) / "refs" / revision
    if told.offline:
        commit = record.read_text(encoding="utf-8").strip() if record.is_file() else ""
        if not COMMIT.fullmatch(commit):
            raise DataError(
                f"'{revision}' was never fetched, and HF_HUB_OFFLINE is set",
                where=f"{name}@{revision}",
                hint="unset it once, or name a commit that is in the cache",
            )
        return commit
    sha = _info(type, name, revision).sha
    commit = sha if isinstance(sha, str) else ""
    if not COMMIT.fullmatch(commit):
        raise DataError(f"the hub says no commit of '{revision}'", where=f"{name}@{revision}")
    record.parent.mkdir(parents=True, exist_ok=True)
    replace_file(record, commit.encode())
    return commit


def push(repo: str, files: Mapping[str, bytes | Path], *, message: str, branch: str, private: bool) -> str:
    """Put files into a repository of models, which is made if need be, and return the commit.

    Args:
        repo: ``owner/name``.
        files: path in the repository -> content, or the file that holds it. Other files there stay.
        message: of the commit.
        branch: that the commit is added to; it is made if need be.
        private: whether a repository that is made is seen by its owner alone.

    Raises:
        ConfigError: huggingface_hub is missing, or the name is none of a repository.
        DataError: the hub refuses or does not answer.
    """
    if not re.fullmatch(OWNED, repo):
        raise ConfigError("is no name of a repository", where=repo, hint="write owner/name")
    if offline():
        raise DataError("nothing is pushed while HF_HUB_OFFLINE is set", where=repo)

    def put(hub: Any) -> str:
        api = hub.HfApi(endpoint=_settings().endpoint)
        # Not `exist_ok`: huggingface_hub 2.4 then forgets the endpoint where the hub answers 401.
        if not api.repo_exists(repo, repo_type="model"):
            api.create_repo(repo, repo_type="model", private=private)
        if branch != MAIN:
            api.create_branch(repo, branch=branch, repo_type="model", exist_ok=True)
        adding = [
            hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in files.items()
        ]
        done = api.create_commit(repo, adding, commit_message=message, revision=branch)
        return str(done.oid)

    return _asked(repo, put)


def _info(type: RepoType, name: str, revision: str) -> Any:
    return _asked(
        f"{name}@{revision}",
        lambda hub: hub.HfApi(endpoint=_settings().endpoint).repo_info(
            name, repo_type=type, revision=revision
        ),
    )


def _asked(where: str, ask: Callable[[Any], T]) -> T:
    """Call something of huggingface_hub, and say in one line what went wrong."""
    try:
        hub: Any = import_module("huggingface_hub")
        errors: Any = import_module("huggingface_hub.errors")
    except ImportError:
        raise ConfigError(
            "the hub needs the package huggingface_hub", where=where, hint="pip install 'clearsight[hub]'"
        ) from None
    try:
        return ask(hub)
    except Exception as error:  # noqa: BLE001 its HTTP library, which has changed, has errors of its own
        raise _explained(error, errors, where) from None


def _explained(error: Exception, errors: Any, where: str) -> DataError | ConfigError:
    """Return an error of huggingface_hub in our words; the order goes from special to general."""
    if isinstance(error, errors.GatedRepoError):
        hint = "ask on the page of the repository, set HF_TOKEN"
        return DataError("access has to be asked for", where=where, hint=hint)
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "check the name; set HF_TOKEN"
        return DataError("no such repository, or it is private", where=where, hint=hint)
    if isinstance(error, errors.RevisionNotFoundError):
        return DataError("no such revision", where=where, hint="name a branch, a tag or a commit")
    if isinstance(error, errors.LocalEntryNotFoundError) and offline():
        return DataError("was never fetched, and HF_HUB_OFFLINE is set", where=where)
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return NotThereError("no such file in the repository", where=where)
    if isinstance(error, errors.HFValidationError):
        return ConfigError(first_line(error), where=where, hint="write owner/name")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        hint = "set HF_TOKEN, or run 'hf auth login'" if status in (401, 403) else "try again"
        told = error.server_message or first_line(error)
        return DataError(f"the hub answers {status}: {told}", where=where, hint=hint)
    return DataError(
        f"the hub does not answer: {first_line(error)}",
        where=where,
        hint="try again; HF_HUB_OFFLINE=1 uses what was fetched before",
    )


@contextmanager
def _quiet(files: int) -> Iterator[None]:
    """Draw no bars for many files, each of which would get one."""
    try:
        bars: Any = import_module("huggingface_hub.utils")
    except ImportError:
        # What fetches the files says that it is missing.
        yield
        return
    drawn = files > TOGETHER and not bars.are_progress_bars_disabled()
    if drawn:
        bars.disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            bars.enable_progress_bars()


def _cached(cache: str, type: RepoType, name: str) -> Path:
    return Path(cache) / f"{type}s--{name.replace('/', '--')}"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
