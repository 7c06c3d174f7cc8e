"""Draws before and after of every shipped restorer: ``docs/images/*.jpg``.

    python benchmarks/before_after.py [--out docs/images]

On scikit-image's photographs, none of which a network was trained on: each row shows the truth, the degraded
image and what the restorers make of it, with the PSNR against the truth. On the signs of the quickstart: the
prediction of a classifier with its probability. Of every kind of damage the first sign is shown that the
classifier gets right undamaged and restored, and wrong damaged.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.errors import WeightsError
from clearsight.data.contract.rng import Rng
from clearsight.data.sources.photos import Photos
from clearsight.data.weights import find
from clearsight.pipelines.cli.configs import read_evaluate
from clearsight.restore.catalogue import RESTORERS
from clearsight.restore.degradations.blur import blurred
from clearsight.restore.degradations.exposure import short_exposure
from clearsight.restore.degradations.kernels import defocus_kernel, motion_kernel
from clearsight.restore.ops.resize import resize_bicubic, to_8_bit
from clearsight.restore.quality.psnr_ssim import psnr

SIDE, FONT = 224, cv2.FONT_HERSHEY_SIMPLEX
CROPS = {"astronaut": (10, 130), "chelsea": (50, 110), "coffee": (100, 190), "rocket": (180, 220)}
"""Photograph -> top and left, in pixels, of the square that is shown."""

Case = tuple[str, Callable[[Tensor], Tensor], Sequence[tuple[str, dict[str, object]]]]


def main() -> None:
    """Draw one sheet per task, and one of signs."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--out", type=Path, default=Path("docs/images"))
    out = arguments.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    source = Photos()
    entries = {entry.id.removeprefix("photos/"): entry for entry in source.index().entries}
    truths = []
    for name, (top, left) in CROPS.items():
        image = source.load(entries[name])[top : top + SIDE, left : left + SIDE]
        truths.append(torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255)
    for name, degrade, restorers in cases():
        rows = [row(truth, degrade, restorers) for truth in truths]
        sheet = np.vstack([header(["truth", "input", *(each for each, _ in restorers)]), *rows])
        cv2.imwrite(str(out / f"{name}.jpg"), sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        print(out / f"{name}.jpg", sheet.shape)
    sheet = seen_signs()
    cv2.imwrite(str(out / "signs.jpg"), sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(out / "signs.jpg", sheet.shape)


def cases() -> list[Case]:
    """Return (name of the sheet, degradation, restorers)."""

    def trained(name: str, **fields: object) -> tuple[str, dict[str, object]]:
        return name, {"kind": find(name).card["spec"]["kind"], "weights": name} | fields

    def noisy(x: Tensor) -> Tensor:
        return (x + 25 / 255 * torch.randn(x.shape, generator=Rng(1).torch())).clamp(0, 1)

    def shaken(x: Tensor) -> Tensor:
        return blurred(x, motion_kernel(Rng(4), 21, 14.0), 2 / 255, Rng(5))

    def unfocused(x: Tensor) -> Tensor:
        return blurred(x, defocus_kernel(6.0, 21), 1 / 255, Rng(5))

    def dark(x: Tensor) -> Tensor:
        told = (x.new_full((1, 1, 1, 1), value) for value in (16.0, 4000.0, 3.0))
        factor, full_well, read_noise = told
        return short_exposure(x, factor, full_well, read_noise, Rng(6))

    def small(x: Tensor) -> Tensor:
        return to_8_bit(resize_bicubic(x, 0.25))

    def corrupted(kind: str, severity: int) -> Callable[[Tensor], Tensor]:
        corrupt = CORRUPTIONS[kind].model_validate({"severity": severity, "table": "imagenet_c"})

        def corruption(x: Tensor) -> Tensor:
            image = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
            return torch.from_numpy(corrupt(image, Rng(7))).permute(2, 0, 1)[None].float() / 255

        return corruption

    found = [(kind, {"kind": kind}) for kind in ("blind_wiener", "blind_plug_and_play")]
    clearer = [(kind, {"kind": kind}) for kind in ("dark_channel", "clahe", "auto_contrast")]
    wavelet = ("wavelet", {"kind": "wavelet", "sigma": 25 / 255})
    sharper = ("unsharp_mask", {"kind": "unsharp_mask"})
    light = [("gamma", {"kind": "gamma", "gamma": 0.45}), ("clahe", {"kind": "clahe"})]
    light += [trained(name) for name in ("zero-dce-v1", "enlighten-v1", "low-light-v2")]
    return [
        ("denoise", noisy, [wavelet, trained("denoise-color-v1")]),
        ("motion", shaken, [sharper, trained("deblur-v1")]),
        ("straight-motion", corrupted("motion_blur", 4), [sharper, *found]),
        ("defocus", unfocused, [sharper, trained("deblur-v1"), *found]),
        ("fog", corrupted("fog", 5), clearer),
        ("super-resolution", small, [("bicubic", {"kind": "bicubic", "scale": 4}), trained("sr-x4-v1")]),
        ("low-light", dark, light),
    ]


@torch.no_grad()
def row(
    truth: Tensor, degrade: Callable[[Tensor], Tensor], restorers: Sequence[tuple[str, dict[str, object]]]
) -> NDArray[np.uint8]:
    """Return one photograph, degraded and restored, side by side."""
    degraded = degrade(truth)
    shown = [tile(truth, None), tile(degraded, truth)]
    shown += [tile(RESTORERS.parse(fields).build()(degraded), truth) for _, fields in restorers]
    return np.hstack(shown)


@torch.no_grad()
def seen_signs() -> NDArray[np.uint8]:
    """Return one row per kind of damage of the quickstart: a sign clean, damaged, restored by `clarity`."""
    _, config = read_evaluate(Path("quickstart"))
    source: Any = config.data
    index = source.index()
    entries = list(index.entries)
    clarity, classifier = config.parts["clarity"].build(), config.parts["classify"].build()
    rows = [header(["undamaged", "damaged", "restored by clarity"])]
    for kind, severity in (("gaussian_noise", 5), ("fog", 3), ("defocus_blur", 3)):
        corruption = CORRUPTIONS[kind].model_validate({"severity": severity, "table": "imagenet_c"})
        for entry in entries:
            image = source.load(entry)
            damaged = corruption(image, Rng(config.seed).at("before_after", entry.id))
            versions = [torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in (image, damaged)]
            versions.append(clarity(versions[1]))
            told = [classifier(each).softmax(dim=1)[0] for each in versions]
            if [int(each.argmax()) == entry.truth for each in told] == [True, False, True]:
                words = [f"{index.classes[int(e.argmax())]} {100 * float(e.max()):.0f} %" for e in told]
                words[1] = f"{kind.replace('_', ' ')}: {words[1]}"
                rows += [np.hstack([tile(each, None) for each in versions]), header(words)]
                # Another sign for the next kind.
                entries.remove(entry)
                break
    return np.vstack(rows)


def tile(x: Tensor, truth: Tensor | None) -> NDArray[np.uint8]:
    """Return an image as uint8 with its PSNR in the corner; small ones are enlarged by nearest neighbour."""
    image = np.ascontiguousarray((x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    if image.shape[0] != SIDE:
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    if truth is not None and x.shape == truth.shape:
        cv2.rectangle(image, (0, SIDE - 18), (76, SIDE), (0, 0, 0), -1)
        text = f"{float(psnr(x, truth)):.1f} dB"
        cv2.putText(image, text, (4, SIDE - 5), FONT, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def header(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the strip with the names of the columns."""
    strip = np.full((22, SIDE * len(names), 3), 255, np.uint8)
    for column, name in enumerate(names):
        cv2.putText(strip, name, (SIDE * column + 6, 15), FONT, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


if __name__ == "__main__":
    try:
        main()
    except WeightsError as error:
        raise SystemExit(f"error: {error}") from None
