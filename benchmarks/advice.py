"""Measures `clearsight sense` and `clearsight advise` on folders of photographs: clean ones and damaged ones.

    CLEARSIGHT_DATA=folder python benchmarks/advice.py [--folders 20] [--images 25]

Clean: disjoint folders of held-out Tiny-ImageNet-20 training images (the 25 of each class before the test
part, 64x64; twenty folders hold all 500). Damaged: folders of images under one corruption at
severity 3 (constants by size), made from these and from Imagenette's validation photographs (224x224).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.media.images import encode_png
from clearsight.data.sources.base import Entry, Source
from clearsight.data.sources.parquet import Parquet
from clearsight.data.weights import SENSE
from clearsight.pipelines.advice.advise import LEAVE
from clearsight.pipelines.advice.api import advise
from clearsight.pipelines.advice.readings import look
from clearsight.pipelines.config.registries import BUILDABLE
from clearsight.restore.networks.degradation_sense import RESIDUAL, RESIDUAL_NORM
from clearsight.restore.ops.noise_level import estimate_sigma
from clearsight.restore.sense import Sense, read
from clearsight.restore.sense_base import DAMAGE
from clearsight.restore.training.degradation import KINDS

SEVERITY = 3
"""Severity of the damaged images."""
TINY = "tinyimagenet20_train.parquet"
PHOTOGRAPHS = "imagenette224_val.parquet"


def held_out() -> list[Sample]:
    """Return the 500 training images of 64 pixels that neither classifiers nor the sense learned from."""
    test = {entry.id for entry in _rows(50, "held_out")}
    return _read(Parquet(path=TINY), [entry for entry in _rows(75, "held_out") if entry.id not in test])


def _rows(held: int, subset: str) -> Sequence[Entry]:
    node = {"path": TINY, "hold_out": {"per_class": held}, "subset": subset}
    return Parquet.model_validate(node).index().entries


def _read(source: Source, entries: Sequence[Entry]) -> list[Sample]:
    return [found for found in source.read(entries) if isinstance(found, Sample)]


def damaged(sample: Sample, kind: str) -> Sample:
    """Return the image under a corruption with the constants of its size."""
    corruption = CORRUPTIONS.parse({"kind": kind, "severity": SEVERITY})
    return Sample(sample.id, corruption(sample.image, Rng(11).at(sample.id)), sample.truth)


def confusion(sense: Sense, samples: Sequence[Sample]) -> None:
    """Print, for every corruption, the share of images on which each kind of damage is named."""
    print("| done | " + " | ".join(DAMAGE) + " | nothing |")
    print("|---|" + "---:|" * (len(DAMAGE) + 1))
    rows = [("nothing", "clean"), *((damage, kind) for damage, kinds in KINDS.items() for kind in kinds)]
    for damage, kind in (*rows, ("-", "elastic_transform"), ("-", "saturate")):
        made = samples if kind == "clean" else [damaged(sample, kind) for sample in samples]
        named = [look(sense, sample).named for sample in made]
        counts = [sum(each in names for names in named) for each in DAMAGE] + [sum(not n for n in named)]
        shares = [f"{100 * count / len(named):.0f}" for count in counts]
        own = [*DAMAGE, "nothing"].index(damage) if damage != "-" else -1
        cells = [f"**{share}**" if place == own else share for place, share in enumerate(shares)]
        print(f"| {kind} | " + " | ".join(cells) + " |")


def noise_levels(sense: Sense, samples: Sequence[Sample]) -> None:
    """Print the RMSE of the estimated noise level beside those of two classical estimators, in 1/255."""
    print("| sigma | the sense | wavelets, quiet places | Immerkaer |")
    print("|---:|---:|---:|---:|")
    for level in (0, 5, 10, 15, 25, 50):
        told: list[list[float]] = []
        for sample in samples:
            x = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float() / 255.0
            noise = torch.randn(x.shape, generator=Rng(12).at(sample.id).torch())
            noisy = ((x + level / 255.0 * noise).clamp(0, 1) * 255.0).round() / 255.0
            with torch.inference_mode():
                estimates = (read(sense(noisy)).noise_level, estimate_sigma(noisy), immerkaer(noisy))
            told.append([255.0 * float(each.flatten()[0]) for each in estimates])
        errors = (np.array(told) - level) ** 2
        print(f"| {level} | " + " | ".join(f"{root:.1f}" for root in np.sqrt(errors.mean(0))) + " |")


def immerkaer(x: torch.Tensor) -> torch.Tensor:
    """Return the noise level of each image, (n, c, h, w) in [0, 1], as Immerkaer (1996) estimates it."""
    mask = torch.tensor(RESIDUAL)[None, None].expand(3, 1, 3, 3)
    residual = torch.nn.functional.conv2d(x, mask, groups=3).abs().mean(dim=(1, 2, 3))
    return residual * (np.pi / 2) ** 0.5 / RESIDUAL_NORM


def folders(samples: Sequence[Sample], names: Sequence[str], root: Path, told: argparse.Namespace) -> None:
    """Print the verdicts on folders of clean images and on folders of damaged ones."""
    count, size = told.folders, told.images
    dealt = [samples[number::count][:size] for number in range(count)]
    verdicts = Counter(
        _verdict(root / f"clean-{number}", each, names, told.sense) for number, each in enumerate(dealt)
    )
    alone = sum(n for verdict, n in verdicts.items() if verdict.startswith(LEAVE))
    print(f"{alone} of {count} folders of {size} clean images: leave it alone")
    print("| damaged by | named, share of the images | verdict |")
    print("|---|---|---|")
    many = samples[:: max(1, len(samples) // told.each)]
    for kinds in KINDS.values():
        made = [damaged(sample, kinds[0]) for sample in many]
        print(f"| {kinds[0]} | {_verdict(root / kinds[0], made, names, told.sense)} |")


def _verdict(place: Path, samples: Sequence[Sample], names: Sequence[str], sense: str) -> str:
    """Write images into class folders and return the advice for them."""
    for name in names:
        (place / name).mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(samples):
        (place / names[sample.truth or 0] / f"{number}.png").write_bytes(encode_png(sample.image))
    found = advise(place, "tinyimagenet20-standard-v1", weights=sense, device="cpu")
    named = [f"{each.kind} {100 * each.share:.0f} %" for each in found.damage if each.there]
    if found.verdict == LEAVE and not named:
        return LEAVE
    return f"{', '.join(named) or 'nothing'} | {found.verdict}: {found.why}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folders", type=int, default=20)
    parser.add_argument("--images", type=int, default=25)
    parser.add_argument("--each", type=int, default=100, help="images of each corruption")
    parser.add_argument("--sense", default=SENSE)
    parser.add_argument("--small", action="store_true", help="images of 64 pixels only")
    told = parser.parse_args()
    sense = BUILDABLE.parse({"kind": "degradation_sense", "weights": told.sense}).build()
    small = held_out()
    photographs = Parquet(path=PHOTOGRAPHS)
    large = _read(photographs, photographs.index().entries[:: 300 // told.each])
    for side, samples in ((64, small[:: max(1, len(small) // told.each)]), (224, large)):
        if side != 64 and told.small:
            continue
        print(f"\n{len(samples)} images of {side} pixels, severity {SEVERITY}, % named:\n")
        confusion(sense, samples)
        print(f"\nRoot mean square error of the noise level, in 1/255, {side} pixels:\n")
        noise_levels(sense, samples)
    print()
    with TemporaryDirectory() as root:
        names = Parquet(path=TINY).index().classes
        folders(small, names, Path(root), told)


if __name__ == "__main__":
    main()
