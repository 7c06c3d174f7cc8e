"""`restore_images` and `corrupt`: what the commands ``restore`` and ``corrupt`` do, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

from clearsight.data.benchmark.write import SEVERITIES, Written, expand, write_benchmark
from clearsight.data.catalogue import images_at
from clearsight.data.home import expanded
from clearsight.data.sources.base import Source

if TYPE_CHECKING:
    from clearsight.data.benchmark.write import ImageFormat, Layout
    from clearsight.data.corruptions.base import Table
    from clearsight.pipelines.restoring.job import Outcome
    from clearsight.restore.tiling.tiling import Tile


def restore_images(
    images: str | PathLike[str],
    out: str | PathLike[str],
    steps: str | Sequence[str] = "denoise",
    *,
    sigma: str | float | None = None,
    tile: Tile = "auto",
    device: str = "auto",
    fresh: bool = False,
    on_progress: Callable[[str, int, int | None], None] | None = None,
) -> Outcome:
    """Restore images and videos on disk; a second call continues where the first one stopped.

    Args:
        images: a file, a folder (searched recursively) or a glob.
        out: file or folder for a file, folder otherwise.
        steps: restorers in order; each a task of shipped weights (``denoise``), an id or folder of weights,
            or a classical kind (``median``).
        sigma: standard deviation of the noise for values in [0, 1] (``25/255``), or ``auto``, for the steps
            that take one.
        tile: side of the tiles in pixels, ``auto`` (whole images while they fit into memory) or None (never).
        device: ``auto``, ``cpu`` or ``cuda``.
        fresh: restore again what an earlier call restored, and replace files of other origin.
        on_progress: called with a stage, the number done and the total (None where unknown).

    Returns:
        Counts, and name and reason of every file that could not be used.

    Raises:
        ConfigError: unknown steps, or an ``out`` that holds something else.
        DataError: there are no images.
        WeightsError: weights that are missing or damaged.
        RunError: a result cannot be written.
    """
    from clearsight.pipelines.restoring.chain import read_chain
    from clearsight.pipelines.restoring.job import restore_files
    from clearsight.pipelines.restoring.plan import read_plan
    from clearsight.pipelines.restoring.worker import Worker
    from clearsight.pipelines.systems.device import choose_device

    plan = read_plan(fspath(images), expanded(fspath(out)))
    words = steps if isinstance(steps, str) else ",".join(steps)
    chain = read_chain(words, None if sigma is None else str(sigma))
    return restore_files(
        plan,
        chain,
        lambda: Worker(chain, tile, choose_device(device)),
        fresh=fresh,
        on_progress=on_progress or (lambda stage, done, total: None),
    )


def corrupt(
    images: Source | str | PathLike[str],
    out: str | PathLike[str],
    kinds: str | Sequence[str] = "imagenet_c_15",
    *,
    severities: Sequence[int] = SEVERITIES,
    layout: Layout = "imagenet_c",
    table: Table = "by_size",
    size: int | None = None,
    image_format: ImageFormat = "png",
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write every image under every corruption, in the layout of ImageNet-C or CIFAR-C.

    An interrupted call is continued by an equal one.

    Args:
        images: a source, or the path of a file, a parquet file or a folder (with one sub-folder a class: the
            labels).
        out: folder for the benchmark: new, empty, or one that an equal call has begun.
        kinds: kinds of corruption or names of sets.
        severities: which of 1 to 5.
        layout: ``imagenet_c`` (image files) or ``cifar_c`` (NumPy arrays; needs all five severities).
        table: severity constants of ImageNet-C (224 px), CIFAR-C (32 px) or Tiny-ImageNet-C (64 px);
            ``by_size``: CIFAR-C's in its layout, else those chosen for images of the nearest size.
        size: resize the short side to this many pixels and crop the centre square; only where ``images`` is
            a path.
        image_format: ``png`` or ``jpeg``.
        seed: root of the random streams.
        workers: processes; 0: one per core. More than one needs the usual ``if __name__ == "__main__":``
            guard in a script.
        on_progress: called with the number of images done and the total.

    Returns:
        Counts, and the images that were left out.

    Raises:
        ConfigError: unknown kinds, kinds that do not fit the layout, or a folder that holds something else.
        DataError: no images, or images that the layout cannot store.
        RunError: a worker process died; call again to continue.
    """
    names = [kinds] if isinstance(kinds, str) else kinds
    source = images if isinstance(images, Source) else images_at(fspath(images), size)
    return write_benchmark(
        source,
        Path(out),
        expand(names, severities=severities, table=table),
        layout=layout,
        seed=seed,
        workers=workers,
        image_format=image_format,
        on_progress=on_progress,
    )
