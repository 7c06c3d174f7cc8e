"""Every corruption beside the published script of its table, at the size that the script is for.

    CLEARSIGHT_DATA=... python benchmarks/published_corruptions.py [--into docs/corruptions.md]

For each type: PSNR of the damaged images and the accuracy of a classifier (a shipped one at 32 and 64 pixels,
EfficientNet-lite0 at 224: extra ``imagenet``), means over severities 1, 3 and 5, ours minus the script's on
the same images with other random numbers. The interval is that of the paired difference over images, 95 %.
``--into`` writes the table between the comments of this file's name and of ``--block``. A size of which no
image is wanted is left out.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from _script_constants import SIDES
from _scripts import TYPES, Pixels, published
from numpy.typing import NDArray
from torch import nn

from clearsight.data.catalogue import CORRUPTIONS, SOURCES
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.defend.catalogue import CLASSIFIERS

SEVERITIES = (1, 3, 5)
SETS: dict[str, dict[str, Any]] = {
    "cifar_c": {"kind": "parquet", "path": "cifar10_jpeg75_test.parquet"},
    "tiny_imagenet_c": {
        "kind": "parquet",
        "path": "tinyimagenet20_train.parquet",
        "hold_out": {"per_class": 50},
        "subset": "held_out",
    },
    "imagenet_c": {"kind": "parquet", "path": "imagenette224_val.parquet"},
}
IMAGENETTE = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)
LOOKERS: dict[str, dict[str, Any]] = {
    "cifar_c": {"kind": "preact_resnet", "weights": "cifar10-jpeg75-standard-v1"},
    "tiny_imagenet_c": {"kind": "preact_resnet", "weights": "tinyimagenet20-standard-v1"},
    "imagenet_c": {"kind": "efficientnet_lite0", "only": IMAGENETTE},
}
DRAWN = "frost, drawn textures (default)"
BEGIN = "<!-- measured: benchmarks/published_corruptions.py -->"


class Compared(NamedTuple):
    """Figures of every image, means over severities: (n,) each."""

    psnr: NDArray[np.float64]
    right: NDArray[np.float64]


def compared(made: Sequence[Sequence[Pixels]], samples: Sequence[Sample], model: nn.Module) -> Compared:
    """Return the figures of each image, means over severities; ``made`` is by severity, then image."""
    truths = np.array([sample.truth for sample in samples])
    psnr, right = [], []
    for images in made:
        errors = [
            np.mean((image.astype(float) - sample.image) ** 2)
            for image, sample in zip(images, samples, strict=True)
        ]
        psnr.append(10 * np.log10(255**2 / np.maximum(errors, 0.01)))
        x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            found = torch.cat([model(some).argmax(1) for some in x.split(50)])
        right.append(found.numpy() == truths)
    return Compared(np.mean(psnr, 0), 100 * np.mean(right, 0))


def told(ours: NDArray[np.float64], theirs: NDArray[np.float64], digits: int) -> str:
    """Return the script's mean, and the difference with its interval; in bold where that excludes 0."""
    gap = ours - theirs
    half = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap))
    text = f"{gap.mean():+.{digits}f} ± {half:.{digits}f}"
    return f"{theirs.mean():.{digits}f}: " + (f"**{text}**" if abs(gap.mean()) > half else text)


def measured(table: str, count: int) -> dict[str, tuple[str, str]]:
    """Return type -> cells of PSNR and accuracy, at the image size of a table."""
    source = SOURCES.parse(SETS[table] | {"take": count})
    found = [sample for sample in source.read(source.index().entries) if isinstance(sample, Sample)]
    side = SIDES[table]
    samples = [sample for sample in found if sample.image.shape == (side, side, 3)]
    assert len(samples) == count, f"{len(samples)} images of {side} pixels"
    model = CLASSIFIERS.parse(LOOKERS[table]).build().eval()
    rows = {}
    for kind in TYPES:
        drawn = Rng(0).at("published", table, kind)
        script = compared(
            [
                [published(kind, table, level, s.image, drawn.at(level, s.id).numpy()) for s in samples]
                for level in SEVERITIES
            ],
            samples,
            model,
        )
        variants: dict[str, dict[str, Any]] = {kind: {}}
        if kind == "frost":
            variants = {"frost, `textures: imagenet_c`": {"textures": "imagenet_c"}, DRAWN: {}}
        for name, fields in variants.items():
            ours = compared(
                [[_ours(kind, table, level, s, fields) for s in samples] for level in SEVERITIES],
                samples,
                model,
            )
            rows[name] = (told(ours.psnr, script.psnr, 2), told(ours.right, script.right, 1))
            print(table, name, *rows[name], sep=" | ", flush=True)
    return rows


def _ours(kind: str, table: str, level: int, sample: Sample, fields: dict[str, Any]) -> Pixels:
    corruption = CORRUPTIONS.parse({"kind": kind, "table": table, "severity": level, **fields})
    return np.asarray(corruption(sample.image, Rng(1).at("ours", sample.id)), np.uint8)


def main() -> None:
    """Measure all types at the three sizes; print the table, or write it into a document."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument(
        "--images", type=int, nargs=3, default=(200, 120, 24), help="at 32, 64, 224 pixels"
    )
    arguments.add_argument("--into", type=Path)
    arguments.add_argument("--block", default="published_corruptions", help="name in its closing comment")
    told_ = arguments.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    counts = {table: n for table, n in zip(SIDES, told_.images, strict=True) if n}
    found = {table: measured(table, n) for table, n in counts.items()}
    images = ", ".join(f"{n} of {SIDES[table]} pixels" for table, n in counts.items())
    headings = "".join(f" {SIDES[table]} px, PSNR in dB | accuracy in % |" for table in counts)
    lines = [
        f"Images: {images}. Each cell: the script's mean, then ours minus it.",
        "",
        f"| type |{headings}",
        f"| --- |{2 * len(counts) * ' ---: |'}",
    ]
    for name in next(iter(found.values())):
        cells = [cell for table in counts for cell in found[table][name]]
        lines.append(f"| {name.replace('_', ' ') if '`' not in name else name} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    if told_.into is None:
        print(text)
        return
    page = told_.into.read_text(encoding="utf-8")
    end = f"<!-- end of {told_.block} -->"
    block = f"{BEGIN}\n\n{text}\n\n{end}"
    written, number = re.subn(f"{BEGIN}((?!{BEGIN}).)*?{end}", lambda _: block, page, flags=re.DOTALL)
    assert number == 1, f"{told_.into} has no place for the table"
    told_.into.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
