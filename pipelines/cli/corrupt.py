"""``clearsight corrupt``: writes a corruption benchmark from any images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from clearsight.data.benchmark.names import MANIFEST
from clearsight.data.benchmark.write import expand, write_benchmark
from clearsight.data.catalogue import images_at
from clearsight.data.contract.errors import ConfigError, DataError, near_miss
from clearsight.data.corruptions.base import BY_SIZE, TABLES, constants_in_words
from clearsight.data.remote.outlet import outlet
from clearsight.pipelines.cli.console import console, progress, tell_passed_over

if TYPE_CHECKING:
    from clearsight.data.benchmark.write import ImageFormat, Layout
    from clearsight.data.corruptions.base import Table
    from clearsight.data.executors.choice import Backend


def command(
    path: str,
    out: str,
    kinds: str,
    severity: str,
    *,
    layout: str,
    table: str,
    size: int | None,
    image_format: str,
    seed: int,
    workers: int,
    quiet: bool,
    backend: Backend,
) -> None:
    """Write a benchmark and name every image that was skipped."""
    _one_of("layout", layout, ("imagenet_c", "cifar_c"))
    _one_of("table", table, (BY_SIZE, *TABLES))
    _one_of("format", image_format, ("png", "jpeg"))
    names = [name.strip() for name in kinds.split(",")]
    corruptions = expand(names, severities=_levels(severity), table=cast("Table", table))
    source = images_at(path, size)
    with outlet(out) as folder, progress(quiet=quiet) as tell:
        written = write_benchmark(
            source,
            folder,
            corruptions,
            layout=cast("Layout", layout),
            seed=seed,
            workers=workers,
            image_format=cast("ImageFormat", image_format),
            backend=backend,
            on_progress=lambda done, total: tell("corrupt", done, total),
        )
    screen = console()
    for skipped in written.skipped:
        screen.print(f"skipped {skipped.id}: {skipped.reason}", markup=False, soft_wrap=True)
    say = partial(screen.print, markup=False, soft_wrap=True)
    tell_passed_over(say, written.passed_over, f"{out}/{MANIFEST}")
    screen.print(
        f"{out}: {written.images} images x {written.corruptions} corruptions, {written.made} made now"
        + (f"; {constants_in_words(written.tables)}" if written.tables else ""),
        markup=False,
        soft_wrap=True,
    )
    if written.skipped:
        raise DataError(f"{len(written.skipped)} images could not be used", where=path)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"unknown value '{value}'", where=f"--{option}", hint=near_miss(value, known))


def _levels(text: str) -> tuple[int, ...]:
    try:
        parts = [part.split("-") for part in text.split(",")]
        levels = [level for part in parts for level in range(int(part[0]), int(part[-1]) + 1)]
    except ValueError:
        levels = []
    if not levels or not all(1 <= level <= 5 for level in levels):
        raise ConfigError(
            f"'{text}' is not a list of severities", where="--severity", hint="write 3, 1-5 or 1,3,5"
        )
    return tuple(sorted(set(levels)))
