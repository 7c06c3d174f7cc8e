"""Logits of classifiers on images as they are and restored, kept in a file, to choose gates by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.data.benchmark.sets import IMAGENET_C_15, IMAGENET_C_EXTRA_4
from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.base import Entry, HoldOut
from clearsight.data.sources.parquet import Parquet
from clearsight.pipelines.config.registries import PARTS

DATA = "tinyimagenet20_train.parquet"
CLASSIFIERS = ("tinyimagenet20-standard-v1",)
RESTORERS = ("clarity-small-v2", "denoise-color-v2")
SEVERITIES = (1, 3, 5)
DRAWN = ((IMAGENET_C_15, 2), (IMAGENET_C_EXTRA_4, 1))
"""Sets of corruptions, and how many of each are drawn per image."""
BATCH = 128
TEST, SELECT, FIT = 50, 60, 75
"""Images at the end of each class that classifiers did not learn from: the test part; with ``select``; with
``fit`` too."""


@dataclass(frozen=True)
class Branches:
    """Images and the logits of every classifier on every branch.

    Attributes:
        part: (n,) ``select`` or ``fit``.
        kind: (n,) corruption, ``clean`` for none.
        severity: (n,) 0 for none.
        truth: (n,) label.
        image: uint8 (n, 64, 64, 3), damaged.
        logits: (n, classifiers, branches, classes); the first branch is the image as it is.
    """

    part: NDArray[np.str_]
    kind: NDArray[np.str_]
    severity: NDArray[np.int64]
    truth: NDArray[np.int64]
    image: NDArray[np.uint8]
    logits: NDArray[np.float16]


def branches(path: Path) -> Branches:
    """Return the content of the file; compute and write it first if it does not exist (two core minutes)."""
    if not path.is_file():
        np.savez(path, **_computed())
    with np.load(path, allow_pickle=False) as found:
        return Branches(**{name: found[name] for name in Branches.__dataclass_fields__})


def _rows(held: int) -> dict[str, Entry]:
    source = Parquet(path=DATA, hold_out=HoldOut(per_class=held), subset="train")
    return {entry.id: entry for entry in source.index().entries}


def _jobs() -> Iterator[tuple[str, str, int, Sample]]:
    """Yield part, corruption, severity and image: training images that no classifier learned from."""
    source = Parquet(path=DATA)
    few, fewer, fewest = _rows(TEST), _rows(SELECT), _rows(FIT)
    parts = {"select": few.keys() - fewer.keys(), "fit": fewer.keys() - fewest.keys()}
    for part, ids in parts.items():
        entries = [entry for name, entry in few.items() if name in ids]
        for found in source.read(entries):
            assert isinstance(found, Sample)
            draw = Rng(3).at(found.id).numpy()
            yield part, "clean", 0, found
            for kinds, count in DRAWN:
                for place in draw.choice(len(kinds), count, replace=False):
                    yield part, kinds[int(place)], SEVERITIES[int(draw.integers(len(SEVERITIES)))], found


@torch.inference_mode()
def _computed() -> dict[str, Any]:
    classifiers = [_part(name) for name in CLASSIFIERS]
    restorers = [_part(name) for name in RESTORERS]
    jobs = list(_jobs())
    images, logits = [], []
    for start in range(0, len(jobs), BATCH):
        damaged = np.stack([_damaged(*job) for job in jobs[start : start + BATCH]])
        x = torch.from_numpy(damaged).permute(0, 3, 1, 2).float() / 255.0
        versions = [x, *(restorer(x) for restorer in restorers)]
        told = torch.stack([torch.stack([each(v) for v in versions]) for each in classifiers])
        images.append(damaged)
        logits.append(told.permute(2, 0, 1, 3).half().numpy())
    columns = dict(
        zip(
            ("part", "kind", "severity"), map(np.array, zip(*(j[:3] for j in jobs), strict=True)), strict=True
        )
    )
    truth = np.array([job[3].truth for job in jobs])
    return columns | {"truth": truth, "image": np.concatenate(images), "logits": np.concatenate(logits)}


def _part(weights: str) -> torch.nn.Module:
    from clearsight.data.weights import find

    module: torch.nn.Module = PARTS.parse(
        {"kind": find(weights).card["spec"]["kind"], "weights": weights}
    ).build()
    return module


def _damaged(part: str, kind: str, severity: int, sample: Sample) -> NDArray[np.uint8]:
    if kind == "clean":
        return sample.image
    node = {"kind": kind, "severity": severity, "table": "imagenet_c"}
    return CORRUPTIONS.parse(node)(sample.image, Rng(7).at(sample.id))
