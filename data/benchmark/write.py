"""Write a corruption benchmark: every image of a source under every corruption, in a published layout.

The corrupted pixels are those an evaluation makes itself: `Corruption` called with
``Rng(seed).at("corrupt", id)``. They do not depend on the number of workers, on the order of work or on where
an interrupted run was taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clearsight.data.benchmark import checksums
from clearsight.data.benchmark.arrays import discard_damaged, finish_cifar, finished_kinds
from clearsight.data.benchmark.job import CorruptJob, Report
from clearsight.data.benchmark.names import MANIFEST
from clearsight.data.benchmark.sets import SETS
from clearsight.data.benchmark.work import run_all, tidy
from clearsight.data.contract.errors import ConfigError, DataError, near_miss
from clearsight.data.contract.sample import Skipped
from clearsight.data.contract.spec import content_key, kind_of
from clearsight.data.corruptions.base import BY_SIZE, SIZES, Corruption, Table
from clearsight.data.executors.choice import Backend
from clearsight.data.sources.base import Index, Source, middle_side

Layout = Literal["imagenet_c", "cifar_c"]
ImageFormat = Literal["png", "jpeg"]
SEVERITIES = (1, 2, 3, 4, 5)
PLAN = "unfinished.json"
"""Stands in for the manifest until everything is written."""


@dataclass(frozen=True)
class Written:
    """What a finished benchmark holds.

    Attributes:
        folder: where it lies.
        images: images of the source that are in it (each under every corruption).
        corruptions: number of (type, severity) pairs.
        made: corrupted images that this call made; the others were there already.
        skipped: images that could not be used, with reasons, in stored order.
        passed_over: files beside the images that were not used, with reasons.
        tables: whose severity constants the images were corrupted with.
    """

    folder: Path
    images: int
    corruptions: int
    made: int
    skipped: tuple[Skipped, ...]
    passed_over: tuple[Skipped, ...] = ()
    tables: tuple[str, ...] = ()


def expand(
    names: Iterable[str], *, severities: Sequence[int] = SEVERITIES, table: Table = BY_SIZE
) -> list[Corruption]:
    """Return the corruptions that kinds or names of sets (`clearsight.data.benchmark.sets.SETS`) stand for.

    Raises:
        ConfigError: a name that is neither.
    """
    from clearsight.data.catalogue import CORRUPTIONS

    kinds: dict[str, None] = {}
    known = [*SETS, *(kind for kind, each in CORRUPTIONS.kinds.items() if not each.needed())]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"'{name}' is neither a corruption that a word can name nor a set",
                hint=near_miss(name, known),
            )
        kinds |= dict.fromkeys(SETS.get(name, (name,)))
    return [
        CORRUPTIONS.parse({"kind": kind, "severity": severity, "table": table})
        for kind in kinds
        for severity in severities
    ]


def write_benchmark(
    source: Source,
    out: Path,
    corruptions: Sequence[Corruption],
    *,
    layout: Layout,
    seed: int = 0,
    workers: int = 0,
    image_format: ImageFormat = "png",
    backend: Backend | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write every image of a source under every corruption; take an interrupted run up where it stopped.

    Layout ``imagenet_c``: files ``type/severity/class/name.png``, without the class level where there are
    no labels. Layout ``cifar_c``: one array ``type.npy`` a type, uint8 (5 n, h, w, 3), severity 1 first, and
    ``labels.npy`` (5 n,). ``checksums.sha256`` holds the checksum of every file: one that is there and has
    another is made again. ``manifest.json`` says what everything was made from; it is written last. At most
    one call may work in a folder at a time. Worker processes are spawned, so a script that calls this keeps
    the call below ``if __name__ == "__main__"``.

    Args:
        source: the clean images. Give it a ``size`` where images differ and the layout is ``cifar_c``.
        out: folder for the benchmark: new, empty, or one that an equal call has begun.
        corruptions: one object a (type, severity), as from `expand`; all five severities for ``cifar_c``. A
            table that they leave open is CIFAR-C's in its layout, else the one that fits the images' median
            size.
        layout: of the published data sets.
        seed: of the random streams.
        workers: processes; 0 means one a core, 1 works in this process.
        image_format: ``png`` keeps the pixels exactly; ``jpeg`` (quality 85, as ImageNet-C was stored) puts a
            second corruption on top of every one. Without effect in layout ``cifar_c``.
        backend: where the work is done; processes of this machine where left out.
        on_progress: called with the images done and their total, some images at a time.

    Returns:
        Counts, and the images that were left out.

    Raises:
        ConfigError: corruptions that do not fit the layout, or a folder that holds something else.
        DataError: no labels or different sizes in layout ``cifar_c``.
        RunError: a worker process died; call again to go on.
    """
    _check(corruptions, layout)
    index = source.index()
    sizes = source.sizes(index.entries)
    side = SIZES["cifar_c"] if layout == "cifar_c" else middle_side(sizes) if sizes else SIZES["imagenet_c"]
    corruptions = [corruption.fitted(side) for corruption in corruptions]
    labelled = any(entry.truth is not None for entry in index.entries)
    if layout == "cifar_c" and not labelled:
        raise DataError("layout cifar_c stores labels, and the source has none", hint="use layout imagenet_c")
    digests = source.digests(index.entries)
    images = source.fingerprint(index.entries, digests)
    config = _config(source, images, index.classes, corruptions, layout, seed, image_format)
    config["tables"] = {
        table: f"chosen for {SIZES[table]}x{SIZES[table]} pixels" for table in _tables(corruptions)
    }
    config["looked_at"] = {f"{height}x{width}": count for (height, width), count in sizes.items()}
    key = content_key(config)
    begun = _open(out, key, config)
    job = CorruptJob(
        source=source,
        out=out,
        corruptions=tuple(corruptions),
        seed=seed,
        layout=layout,
        image_format=image_format,
        classes=index.classes if labelled else (),
    )
    if begun:
        tidy(out)
    if layout == "cifar_c":
        discard_damaged(job)
        job = replace(job, finished=finished_kinds(job))
    report = run_all(job, index.entries, digests, workers, on_progress or (lambda done, total: None), backend)
    checksums.close(out, finish_cifar(job, report) if layout == "cifar_c" else report.sums)
    written = _close(out, key, config, report, index, len(corruptions))
    return replace(written, tables=_tables(corruptions))


def _tables(corruptions: Sequence[Corruption]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table for corruption in corruptions for table in corruption.all_tables))


def _check(corruptions: Sequence[Corruption], layout: Layout) -> None:
    if not corruptions:
        raise ConfigError("no corruptions are given")
    seen: dict[str, list[Corruption]] = {}
    for corruption in corruptions:
        seen.setdefault(kind_of(corruption), []).append(corruption)
    for name, group in seen.items():
        levels = [corruption.severity for corruption in group]
        if len(set(levels)) < len(levels):
            raise ConfigError(
                f"'{name}' is given twice at one severity",
                hint="write variants of one type into folders of their own",
            )
        alike = {content_key(_without_severity(corruption)) for corruption in group}
        if len(alike) > 1:
            raise ConfigError(f"'{name}' has different settings at different severities")
        if layout == "cifar_c" and sorted(levels) != list(SEVERITIES):
            raise ConfigError(
                f"layout cifar_c stores severities 1 to 5 of a type, '{name}' is given at {sorted(levels)}",
                hint="use layout imagenet_c for other choices",
            )


def _without_severity(corruption: Corruption) -> dict[str, Any]:
    return {name: value for name, value in corruption.identity().items() if name != "severity"}


def _config(
    source: Source,
    images: str,
    classes: Sequence[str],
    corruptions: Sequence[Corruption],
    layout: Layout,
    seed: int,
    image_format: ImageFormat,
) -> dict[str, Any]:
    """Return all that decides the bytes of the benchmark, ready for JSON."""
    return {
        "layout": layout,
        "image_format": image_format if layout == "imagenet_c" else "npy",
        "seed": seed,
        "source": {"kind": kind_of(source)},
        "images": images,
        "classes": list(classes),
        "corruptions": [
            corruption.identity() | {"constants": _constants(corruption)} for corruption in corruptions
        ],
        "versions": _versions(),
    }


def _constants(corruption: Corruption) -> dict[str, Any]:
    """Return the severity constants in force, read off the tables of the class."""
    found: dict[str, Any] = {}
    for base in type(corruption).__mro__:
        for name, value in vars(base).items():
            if name.isupper() and isinstance(value, dict) and corruption.table in value:
                row = value[corruption.table]
                graded = isinstance(row, (tuple, list)) and len(row) == len(SEVERITIES)
                found.setdefault(name.lower(), row[corruption.severity - 1] if graded else row)
    return found


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in ("clearsight", "numpy", "scipy", "opencv-python-headless", "pillow", "albumentations"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _open(out: Path, key: str, config: dict[str, Any]) -> bool:
    """Claim the folder; return whether an equal call has worked there before."""
    import json

    from clearsight.data.home import replace_file, writable_folder

    writable_folder(out)
    for name in (MANIFEST, PLAN):
        if not (out / name).is_file():
            continue
        try:
            held = json.loads((out / name).read_text(encoding="utf-8"))
            known = (held["key"], held["config"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                "is not the manifest of a benchmark", where=str(out / name), hint="choose another folder"
            ) from None
        if known[0] != key:
            changed = sorted(part for part in config if known[1].get(part) != _plain(config[part]))
            raise ConfigError(
                f"holds a benchmark made from other settings ({', '.join(changed)} differ)",
                where=str(out),
                hint="choose another folder, or delete this one",
            )
        return True
    if any(out.iterdir()):
        raise ConfigError("is not empty", where=str(out), hint="choose a new folder")
    replace_file(out / PLAN, _json({"key": key, "config": config}))
    return False


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value, allow_nan=False))


def _json(value: Any) -> bytes:
    import json

    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _close(
    out: Path, key: str, config: dict[str, Any], report: Report, index: Index, corruptions: int
) -> Written:
    from clearsight.data.home import replace_file

    images = len(index.entries) - len(report.skipped)
    manifest = {
        "key": key,
        "config": config,
        "images": images,
        "skipped": [vars(skipped) for skipped in report.skipped],
        "passed_over": [vars(skipped) for skipped in index.passed_over],
    }
    replace_file(out / MANIFEST, _json(manifest))
    (out / PLAN).unlink(missing_ok=True)
    return Written(out, images, corruptions, report.made, tuple(report.skipped), index.passed_over)
