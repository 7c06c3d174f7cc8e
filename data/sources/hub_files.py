"""Which files of a data set on the hub belong to a split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from clearsight.data.contract.errors import DataError, near_miss
from clearsight.data.remote.hub import Repo

CARD = "README.md"
FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
PIECE = r"(?:[-_.]\d+(?:-of-(\d+))?(?:-[0-9a-f]{16})?)?"
"""What follows a split's name in the name of one of its files: ``-00000-of-00002``, in older data sets with a
digest behind it."""
SHARD = re.compile(r"(?P<head>.*)-\d+-of-(?P<count>\d+)(?:-[0-9a-f]{16})?\.parquet")
WILD = re.compile(r"[*?\[{]")
USUAL = "train"
"""The split of files for which no split is said, as the hub has it."""


@dataclass(frozen=True)
class Files:
    """Files of a split, as paths in the repository.

    Attributes:
        names: all of them, sorted.
        root: folder that holds the class folders; empty where the files are parquet.
    """

    names: tuple[str, ...]
    root: str = ""

    @property
    def parquet(self) -> bool:
        """Return whether they are parquet files."""
        return not self.root


def files_of(repo: Repo, split: str, config: str | None) -> Files:
    """Return the files of a split of a data set.

    Args:
        repo: the data set.
        split: its name.
        config: name of the configuration; None where there is one, or one is marked as the usual one.

    Raises:
        DataError: there are none, they are of a format that is not read here, or not all there.
    """
    names = repo.names()
    declared = _declared(repo) if CARD in names else []
    if declared:
        files = _matching(_patterns(_chosen(declared, config, repo), split, repo), names)
    else:
        files = _named(names, split, config, repo)
    if not files.names:
        hint = "name another split or config_name; or try revision: refs/convert/parquet"
        raise DataError(f"no files of the split '{split}'", where=repo.address, hint=hint)
    if files.parquet:
        _refuse_other_formats(files.names, repo)
        _refuse_gaps(files.names, repo)
    return files


def _declared(repo: Repo) -> list[dict[str, Any]]:
    """Return the configurations that the front matter of README.md declares with their files."""
    import yaml

    front = FRONT.match(repo.file(CARD).read_text(encoding="utf-8", errors="replace"))
    try:
        told = yaml.safe_load(front[1]) if front else None
    except (yaml.YAMLError, RecursionError, ValueError):
        # The hub shows such a data set by the names of its files, too.
        return []
    configs = told.get("configs") if isinstance(told, dict) else None
    entries = configs if isinstance(configs, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and "data_files" in entry]


def _chosen(declared: Sequence[dict[str, Any]], config: str | None, repo: Repo) -> dict[str, Any]:
    by_name = {str(entry.get("config_name", "default")): entry for entry in declared}
    if config is None:
        usual = [name for name, entry in by_name.items() if entry.get("default") is True]
        named = [name for name in by_name if len(by_name) == 1 or name == "default"]
        config = next(iter((*usual, *named)), None)
    if config is None:
        raise DataError(
            f"has several configurations: {', '.join(sorted(by_name))}",
            where=repo.address,
            hint="name one as config_name",
        )
    if config not in by_name:
        raise DataError(f"no configuration '{config}'", where=repo.address, hint=near_miss(config, by_name))
    return by_name[config]


def _patterns(config: dict[str, Any], split: str, repo: Repo) -> list[str]:
    told = config["data_files"]
    listed = told if isinstance(told, list) else [told]
    found: dict[str, list[str]] = {}
    for entry in listed:
        name, paths = (
            (str(entry.get("split")), entry.get("path")) if isinstance(entry, dict) else (USUAL, entry)
        )
        found.setdefault(name, []).extend(
            map(str, paths if isinstance(paths, list) else [] if paths is None else [paths])
        )
    if split not in found:
        raise DataError(f"no split '{split}'", where=repo.address, hint=near_miss(split, found))
    base = str(config.get("data_dir") or "").strip("/")
    return [f"{base}/{path}" if base else path for path in found[split]]


def _matching(patterns: Sequence[str], names: Sequence[str]) -> Files:
    from fsspec.utils import glob_translate

    rules = [re.compile(glob_translate(pattern)) for pattern in patterns]
    found = tuple(name for name in names if any(rule.fullmatch(name) for rule in rules))
    if not found or any(name.endswith(".parquet") for name in found) or not _images(found):
        return Files(found)
    fixed = WILD.split(patterns[0])[0]
    return Files(found, fixed.rpartition("/")[0])


def _named(names: Sequence[str], split: str, config: str | None, repo: Repo) -> Files:
    """Return the files whose names or folders say the split."""
    head = f"{re.escape(config)}/" if config else "(.*/)?"
    below = f"(?:.*/)?{re.escape(split)}"
    shards = re.compile(rf"{head}{below}{PIECE}(?:/[^/]+)?\.parquet")
    if found := tuple(name for name in names if shards.fullmatch(name)):
        places = sorted({_before(name, split) for name in found})
        if len(places) > 1:
            raise DataError(
                f"files of the split '{split}' lie in several places: {', '.join(p or '.' for p in places)}",
                where=repo.address,
                hint="name one as config_name",
            )
        return Files(found)
    folder = re.compile(rf"({head}{below})/[^/]+/[^/]+")
    roots = {match[1] for name in names if _images((name,)) and (match := folder.fullmatch(name))}
    if len(roots) != 1:
        return Files(())
    root = roots.pop()
    return Files(tuple(name for name in names if name.startswith(f"{root}/")), root)


def _before(name: str, split: str) -> str:
    """Return the folder in which the name of a split begins."""
    parts = PurePosixPath(name).parts
    at = max(number for number, part in enumerate(parts) if re.match(rf"{re.escape(split)}(?:[-_.]|$)", part))
    return "/".join(parts[:at])


def _images(names: Sequence[str]) -> bool:
    from clearsight.data.media.images import suffixes

    known = suffixes()
    return any(PurePosixPath(name).suffix.lower() in known for name in names)


def _refuse_other_formats(names: Sequence[str], repo: Repo) -> None:
    if other := [name for name in names if not name.endswith(".parquet")]:
        raise DataError(
            f"'{other[0]}' is no parquet file, nor in a folder of class folders",
            where=repo.address,
            hint="try revision: refs/convert/parquet, where the hub keeps converted files",
        )


def _refuse_gaps(names: Sequence[str], repo: Repo) -> None:
    """Refuse a split of which a file is missing: what others put into the cache may be a part of it."""
    shards: dict[tuple[str, int], int] = {}
    for name in names:
        if match := SHARD.fullmatch(name):
            key = match["head"], int(match["count"])
            shards[key] = shards.get(key, 0) + 1
    for (head, count), there in shards.items():
        if there != count:
            raise DataError(
                f"{there} of {count} files of '{head}' are there", where=repo.address, hint="fetch the rest"
            )
