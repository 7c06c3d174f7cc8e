"""The protocols: input, target and measures for each task and set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from _contestants import INPUT, Contestant, blind, deconvolvers, denoisers, enlargers, enlighteners
from _sets import images
from _table import Case, Judge

from clearsight.data.contract.errors import DataError
from clearsight.data.contract.rng import Rng
from clearsight.restore.degradations.blur import blurred
from clearsight.restore.degradations.kernels import defocus_kernel, motion_kernel
from clearsight.restore.ops.resize import resize_bicubic, to_8_bit
from clearsight.restore.quality.psnr_ssim import luminance, psnr, ssim
from clearsight.restore.quality.super_resolution import cropped, y_psnr

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SIGMAS = (15, 25, 50)
MOTION, DEFOCUS, SIDE = (10.0, 20.0), (2.0, 4.0), 21
"""Lengths of the paths and radii of the disks in pixels, and side of the kernels, of the synthetic blur."""
BLUR_NOISE = 1 / 255
"""Standard deviation of the noise on synthetically blurred images."""
POLYU = "polyu_real_noise_60pairs.tar"
GUESSING = tuple(
    Contestant(f"{kind}, 5 levels", ({"kind": kind, "sigma": 5 / 255},))
    for kind in ("non_local_means", "total_variation", "wavelet", "bilateral")
)
"""Classical methods for noise of unknown strength, set to 5 levels."""
DENSITIES = (3, 10, 27, 50)
"""Percents of the values that salt-and-pepper noise replaces; 27 is severity 5 of the common corruptions."""
IMPULSES = (
    *(Contestant(f"median, {side}x{side}", ({"kind": "median", "size": side},)) for side in (3, 5)),
    Contestant("inpaint", ({"kind": "inpaint"},)),
    Contestant("impulse_filter", ({"kind": "impulse_filter"},)),
)
RNG = Rng(0).at("benchmark", "restoration")


@dataclass(frozen=True)
class Round:
    """One table: its conditions on one set.

    Attributes:
        name: of the files and of the published block.
        title: heading.
        protocol: all that is needed to repeat it.
        conditions: name -> a function that yields the cases.
        judge: how a restored image is measured.
        channels: of the images.
        scale: output size / input size.
        reference: label that gains are relative to; None: the best classical method.
    """

    name: str
    title: str
    protocol: str
    conditions: dict[str, Callable[[], Iterator[Case]]]
    judge: Judge
    channels: int = 3
    scale: int = 1
    reference: str | None = INPUT.label
    timed_only: tuple[Contestant, ...] = field(default=())


def quality(border: int) -> Judge:
    """Return the judge of PSNR (dB) and SSIM over all channels, without ``border`` pixels on every side."""

    def judge(out: Tensor, case: Case) -> dict[str, float]:
        pair = out, case.wanted()
        return {"PSNR": float(psnr(*pair, border=border)), "SSIM": float(ssim(*pair, border=border))}

    return judge


def denoise(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the rounds of white Gaussian noise: colour and grey."""
    for name, channels in (("cbsd68", 3), ("bsd68_gray", 1)):
        yield Round(
            name,
            f"Gaussian noise, {name.upper()}",
            "White Gaussian noise from a stream per image (seed 0), neither clipped nor rounded, given as "
            "floats to all methods; results are clamped to [0, 1], not rounded; PSNR and SSIM over all "
            "channels, whole image. Sigma in levels of 255. Classical methods are told sigma and have "
            "constants tuned on training photos; 'sigma auto' is estimated from the image.",
            {f"sigma {s}": partial(_noisy, folder, count, name, channels, s) for s in SIGMAS},
            quality(0),
            channels,
            reference=None,
        )


def _noisy(folder: Path, count: int | None, name: str, channels: int, sigma: int) -> Iterator[Case]:
    rivals = [INPUT, *denoisers(sigma, channels)]
    for image in images(folder, f"{name}.tar", count=count, grey=channels == 1):
        stream = RNG.at("awgn", name, image.name, sigma).torch()
        noise = torch.randn(image.image.shape, generator=stream)
        yield Case(image.name, image.image + sigma / 255 * noise, image.image, rivals)


def impulses(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the rounds of salt-and-pepper noise: colour and grey."""
    for name, channels in (("cbsd68", 3), ("bsd68_gray", 1)):
        yield Round(
            f"impulses_{name}",
            f"Salt-and-pepper noise, {name.upper()}",
            "A share of the values, each channel by itself, is replaced by 0 or 1 alike (a stream per image, "
            "seed 0). Nothing is told. PSNR and SSIM over all channels, whole image.",
            {f"{share} %": partial(_peppered, folder, count, name, channels, share) for share in DENSITIES},
            quality(0),
            channels,
        )


def _peppered(folder: Path, count: int | None, name: str, channels: int, share: int) -> Iterator[Case]:
    for image in images(folder, f"{name}.tar", count=count, grey=channels == 1):
        stream = RNG.at("impulses", name, image.name, share).torch()
        drawn = torch.rand(image.image.shape, generator=stream)
        salted = torch.where(drawn < share / 100, (drawn < share / 200).float(), image.image)
        yield Case(image.name, salted, image.image, [INPUT, *IMPULSES])


def sr(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the rounds of super-resolution: x2, x3, x4."""
    for scale in (2, 3, 4):
        rivals = enlargers(scale)
        yield Round(
            f"sr-{scale}",
            f"Super-resolution x{scale}",
            "Images are cropped to a multiple of the scale, reduced by cubic convolution with "
            "antialiasing (MATLAB's imresize), rounded to 8 bits. Results are rounded to 8 bits; PSNR and "
            "SSIM on the luma Y of BT.601 in studio range, without a border as wide as the scale.",
            {name: partial(_small, folder, count, name.lower(), scale, rivals) for name in ("Set5", "Set14")},
            partial(_luma_quality, scale),
            scale=scale,
            reference="bicubic",
            timed_only=(Contestant("vdsr", ({"kind": "vdsr", "scale": scale},), learned=True),),
        )


def _small(
    folder: Path, count: int | None, name: str, scale: int, rivals: list[Contestant]
) -> Iterator[Case]:
    for image in images(folder, f"{name}.tar", count=count):
        wanted = cropped(image.image, scale)
        small = to_8_bit(resize_bicubic(wanted, Fraction(1, scale)))
        yield Case(image.name, small, wanted, rivals)


def _luma_quality(scale: int, out: Tensor, case: Case) -> dict[str, float]:
    wanted = case.wanted()
    y = luminance(to_8_bit(out)), luminance(to_8_bit(wanted))
    return {"Y-PSNR": float(y_psnr(out, wanted, scale)), "Y-SSIM": float(ssim(*y, border=scale))}


def deblur(folder: Path, count: int | None, scratch: Path) -> Iterator[Round]:
    """Yield the round of synthetic blur, blind and non-blind (Levin's set is in `deconvolution.py`)."""
    drawn = {
        "motion": [motion_kernel(RNG.at("motion", size), SIDE, size) for size in MOTION],
        "defocus": [defocus_kernel(size, SIDE) for size in DEFOCUS],
    }
    yield Round(
        "deblur-cbsd68",
        "Synthetic blur, CBSD68",
        f"Kernels of {SIDE}x{SIDE} pixels by turns: camera paths of {MOTION[0]:g} and {MOTION[1]:g} pixels, "
        f"disks of radius {DEFOCUS[0]:g} and {DEFOCUS[1]:g}; noise of {255 * BLUR_NOISE:g} level, rounded "
        "to 8 bits. Networks are blind; '(kernel told)' get the exact kernel, and constants tuned on "
        f"training photos. PSNR and SSIM over R, G and B, without a border of {SIDE // 2} pixels.",
        {kind: partial(_soft, folder, count, scratch, kind, kernels) for kind, kernels in drawn.items()},
        quality(SIDE // 2),
    )


def _soft(
    folder: Path, count: int | None, scratch: Path, kind: str, kernels: list[NDArray[np.float64]]
) -> Iterator[Case]:
    learned = [each for each in blind("deblur") if each.takes(3)]
    learned += [Contestant(kind, ({"kind": kind},)) for kind in ("blind_wiener", "blind_plug_and_play")]
    rivals = [
        [INPUT, *learned, *deconvolvers(_kernel_file(kernel, scratch, f"{kind}{i}"))]
        for i, kernel in enumerate(kernels)
    ]
    for place, image in enumerate(images(folder, "cbsd68.tar", count=count)):
        turn = place % len(kernels)
        given = blurred(image.image, kernels[turn], BLUR_NOISE, RNG.at("blur", kind, image.name))
        yield Case(image.name, given, image.image, rivals[turn])


def _kernel_file(taps: NDArray[np.float64], folder: Path, name: str) -> str:
    """Write a kernel where a spec can name it."""
    path = folder / f"{name}.npy"
    np.save(path, taps, allow_pickle=False)
    return str(path)


def real(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the round of real camera noise."""
    yield Round(
        "real-polyu",
        "Real noise, PolyU",
        "60 crops of camera JPEGs and the mean of many exposures as reference (Xu et al. 2018). Nobody is "
        "told anything: networks with a noise map estimate it, classical methods assume 5 levels. PSNR and "
        "SSIM over R, G and B, whole image.",
        {"PolyU": partial(_photographed, folder, count)},
        quality(0),
    )


def _photographed(folder: Path, count: int | None) -> Iterator[Case]:
    learned = [each for each in blind("real") if each.takes(3)]
    rivals = [INPUT, Contestant("median", ({"kind": "median"},)), *GUESSING, *learned]
    noisy = images(folder, POLYU, count=count, ending="_real")
    wanted = images(folder, POLYU, count=count, ending="_mean")
    for given, mean in zip(noisy, wanted, strict=True):
        if given.name.replace("_real", "_mean") != mean.name:
            raise DataError("has no reference of its name", where=given.name)
        yield Case(given.name, given.image, mean.image, rivals)


def lowlight(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the round of dark photographs, which have no reference."""
    yield Round(
        "lowlight-sci",
        "Dark photographs without reference",
        "Naturalness (NIQE's idea, our own parameters): lower is better. It does not judge alone: see the "
        "accuracy that `clearsight run` measures with the low-light recipes.",
        {"SCI": partial(_dark, folder, count)},
        _naturalness,
    )


def _dark(folder: Path, count: int | None) -> Iterator[Case]:
    rivals = [INPUT, *enlighteners()]
    for image in images(folder, "lowlight_sci_easy_medium18.tar", count=count):
        yield Case(image.name, image.image, None, rivals)


def _naturalness(out: Tensor, case: Case) -> dict[str, float]:
    from clearsight.restore.quality.niqe import niqe

    return {"NIQE": float(niqe(out)), "mean luma": float(luminance(out).mean())}
