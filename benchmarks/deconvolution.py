"""Non-blind deconvolution of the 32 motion-blurred images of Levin et al. (2009), against their truth.

Four grey images, each photographed under eight shakes, with the sharp image and the measured kernels. Run
from the repository: ``python benchmarks/deconvolution.py [FOLDER]``; FOLDER (default ``$CLEARSIGHT_DATA``)
holds ``levin32.tar``. The table is Markdown.

Corrections that the data need, the same for every method:

* The stored kernels 1, 2, 3, 5, 6 and 7 are turned by 180 degrees against the blur in the images. Kernels
  estimated from blurred and sharp images show it, and the Wiener filter loses 3 to 14 dB with the other
  orientation, at the best displacement.
* The blurred images are displaced against the truth by up to five pixels, differently for each, so results
  are compared at the best displacement: whole pixels up to +-6, then quarters of a pixel (as Levin et al. do,
  who search +-5).
* A border of the kernel's radius, where the data are incomplete, and whatever the displacement may uncover
  are left out.
* Each method has one parameter for noise. It is set once for all images, to the best of a few values: the
  figures are slightly optimistic, for every method in the same way.
"""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import shift as moved
from scipy.ndimage import spline_filter
from torch import Tensor

from clearsight.data.contract.errors import ClearsightError
from clearsight.data.contract.rng import Rng
from clearsight.data.statistics import bootstrap_mean, paired_bootstrap
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.quality.psnr_ssim import psnr, ssim

TURNED = frozenset({1, 2, 3, 5, 6, 7})
"""Kernels that are stored rotated by 180 degrees."""
REACH = 6
"""Largest displacement in pixels, along each axis, that is searched."""
IMAGES, KERNELS = range(1, 5), range(1, 9)
METHODS: dict[str, list[dict[str, Any]]] = {
    "wiener": [{"sigma": level / 255} for level in (1, 2, 4, 6)],
    "tikhonov": [{"weight": weight} for weight in (5e-4, 2e-3, 8e-3)],
    "richardson_lucy": [{"iterations": steps} for steps in (30, 60, 120)],
    "plug_and_play": [{"sigma": level / 255} for level in (1, 2, 4, 6)],
}
"""Kind -> the settings that are tried."""


@dataclass(frozen=True)
class Case:
    """One blurred image with its truth, both (h, w) float32 in [0, 1], and its kernel, (k, k)."""

    name: str
    blurred: NDArray[np.float32]
    sharp: NDArray[np.float32]
    kernel: NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Result for one image."""

    psnr: float
    ssim: float
    ms: float


def cases(archive: Path) -> Iterator[Case]:
    """Yield the 32 cases of ``levin32.tar``, image by image."""
    with tarfile.open(archive) as tar:
        for image in IMAGES:
            sharp = _read(tar, f"gt/im{image}.png")
            for number in KERNELS:
                kernel = _read(tar, f"gt/kernel{number}.png").astype(np.float64)
                kernel = kernel[::-1, ::-1] if number in TURNED else kernel
                blurred = _read(tar, f"blurred/im{image}_kernel{number}_img.png")
                yield Case(f"im{image}_kernel{number}", blurred, sharp, kernel / kernel.sum())


def _read(tar: tarfile.TarFile, name: str) -> NDArray[np.float32]:
    member = tar.extractfile(name)
    content = b"" if member is None else member.read()
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SystemExit(f"{name} in the archive is no image")
    return np.asarray(image, np.float32) / np.float32(255)


def compare(restored: NDArray[np.float32], sharp: NDArray[np.float32], border: int) -> tuple[float, float]:
    """Return PSNR in dB and SSIM at the displacement with the highest PSNR.

    Args:
        restored: (h, w) in [0, 1].
        sharp: (h, w) in [0, 1].
        border: pixels left out on every side, besides those that a displacement may uncover.
    """
    edge = border + REACH + 1
    truth = sharp[edge:-edge, edge:-edge]

    def error(image: NDArray[np.float32], down: int, right: int) -> float:
        seen = image[edge + down : edge + down + len(truth), edge + right : edge + right + truth.shape[1]]
        return float(np.square(seen - truth).mean())

    whole = range(-REACH, REACH + 1)
    _, down, right = min((error(restored, y, x), y, x) for y in whole for x in whole)
    splines = spline_filter(restored, order=3, mode="nearest")
    halves = range(-2, 3)
    quarters = [
        moved(splines, (y / 4, x / 4), order=3, mode="nearest", prefilter=False)
        for y in halves
        for x in halves
    ]
    best = min(quarters, key=lambda image: error(image, down, right))
    seen = best[edge + down : edge + down + len(truth), edge + right : edge + right + truth.shape[1]]
    pair = torch.from_numpy(np.stack([seen, truth])).clamp(0, 1)[:, None]
    return float(psnr(pair[:1], pair[1:])), float(ssim(pair[:1], pair[1:]))


def score(case: Case, fields: dict[str, Any], folder: Path) -> Score:
    """Restore one case with a restorer's fields; ``folder`` is for the kernel's file."""
    path = folder / f"{case.name}.npy"
    np.save(path, case.kernel)
    part = RESTORERS.parse(fields | {"kernel": {"kind": "file", "path": str(path)}}).build()
    x: Tensor = torch.from_numpy(case.blurred)[None, None]
    with torch.inference_mode():
        begin = perf_counter()
        restored = part(x)
        taken = 1000 * (perf_counter() - begin)
    return Score(*compare(restored[0, 0].numpy(), case.sharp, len(case.kernel) // 2), taken)


def measure(kind: str, every: Sequence[Case], settings: list[dict[str, Any]], folder: Path) -> list[Score]:
    """Return the scores at the best of the settings, and print the mean PSNR of each setting."""
    tried = [[score(case, {"kind": kind} | fields, folder) for case in every] for fields in settings]
    means = [float(np.mean([each.psnr for each in scores])) for scores in tried]
    best = int(np.argmax(means))
    told = ", ".join(f"{_settings(fields)}: {mean:.2f}" for fields, mean in zip(settings, means, strict=True))
    print(f"{kind}: {told}", file=sys.stderr, flush=True)
    return tried[best]


def _settings(fields: dict[str, Any]) -> str:
    return " ".join(
        f"{name} {value:.3g}" for name, value in fields.items() if isinstance(value, (int, float))
    )


def row(name: str, scores: Sequence[Score], baseline: Sequence[Score] | None) -> str:
    """Return a line of the table; the gain is over ``baseline`` on the same images."""
    values = [each.psnr for each in scores]
    low, high = bootstrap_mean(values, Rng(0).at("deconvolution", name))
    gain = "—"
    if baseline is not None:
        base = [each.psnr for each in baseline]
        ends = paired_bootstrap(values, base, Rng(0).at("deconvolution", name, "gain"))
        gain = f"{np.mean(values) - np.mean(base):+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]"
    similar = float(np.mean([each.ssim for each in scores]))
    ms = f"{np.median([each.ms for each in scores]):.0f}" if scores[0].ms else "—"
    return f"| {name} | {np.mean(values):.2f} [{low:.2f}, {high:.2f}] | {gain} | {similar:.3f} | {ms} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", default=os.environ.get("CLEARSIGHT_DATA"), help="with levin32.tar"
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--every", type=int, default=1, help="take every so many-th image only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--denoiser",
        default="denoise-gray-v1",
        help="id or folder of a grey denoiser's weights for plug_and_play",
    )
    options = parser.parse_args()
    if options.folder is None:
        parser.error("name the folder with levin32.tar, or set CLEARSIGHT_DATA")
    torch.set_num_threads(options.threads)
    every = list(cases(Path(options.folder) / "levin32.tar"))[:: options.every]
    blurred = [Score(*compare(case.blurred, case.sharp, len(case.kernel) // 2), 0.0) for case in every]
    told = {"denoiser": None, "denoiser_gray": options.denoiser}
    rows, wiener = [row("blurred", blurred, None)], None
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.methods:
            extra = told if kind == "plug_and_play" else {}
            try:
                scores = measure(kind, every, [fields | extra for fields in METHODS[kind]], Path(folder))
            except ClearsightError as error:
                print(f"{kind} left out: {error}", file=sys.stderr)
                continue
            rows.append(row(kind, scores, wiener))
            wiener = scores if kind == "wiener" else wiener
    print(f"\n{len(every)} images of 255x255, means, 95 % bootstrap intervals, {options.threads} threads\n")
    print("| method | PSNR in dB | over Wiener | SSIM | ms |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
