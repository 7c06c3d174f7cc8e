"""The protocols: what is given, what is wanted and how it is judged, for each task and set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import torch
from _contestants import INPUT, Contestant, blind, deconvolvers, denoisers, enlargers, enlighteners
from _levin import kernel_file, levin
from _sets import pictures
from _table import Case, Judge

from data.contract.rng import Rng
from data.corruptions.base import MINIMUM
from restore.quality import luminance, psnr, ssim

if TYPE_CHECKING:
    from torch import Tensor

SIGMAS = (15, 25, 50)
MOTION, DEFOCUS, SIDE = (10.0, 20.0), (2.0, 4.0), 21
"""Lengths of the paths and radii of the disks in pixels, and side of the kernels, of the synthetic blur."""
BLUR_NOISE = 1 / 255
"""Standard deviation of the noise on synthetically blurred pictures."""
LEVIN_BORDER = 24
"""Pixels left out at each side: half of the widest kernel, and what it was moved by."""
RNG = Rng(0).at("benchmark", "restoration")


@dataclass(frozen=True)
class Round:
    """One table: its conditions on one set.

    Attributes:
        name: of the files and of the published block.
        title: heading.
        protocol: what must be known to repeat it.
        conditions: name -> a function that yields the cases.
        judge: how a restored picture is measured.
        channels: of the pictures.
        scale: output size / input size.
        reference: label that gains are counted from; None: the best classical method.
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
    """Return the judge of PSNR and SSIM over all channels, without the outer ``border`` pixels."""

    def judge(out: Tensor, case: Case) -> dict[str, float]:
        if case.target is None:
            raise ValueError(f"{case.name} has no wanted picture")
        pair = out, case.target
        return {
            "PSNR": float(psnr(*pair, border=border)),
            "SSIM": float(ssim(*pair, border=border)),
        }

    return judge


def denoise(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the rounds of white Gaussian noise: colour and grey."""
    for name, channels in (("cbsd68", 3), ("bsd68_gray", 1)):

        def cases(sigma: int, name: str = name, channels: int = channels) -> Iterator[Case]:
            rivals = [INPUT, *denoisers(sigma, channels)]
            for picture in pictures(folder, f"{name}.tar", count=count, grey=channels == 1):
                stream = RNG.at("awgn", name, picture.name, sigma).torch()
                noise = torch.randn(picture.image.shape, generator=stream)
                yield Case(picture.name, picture.image + sigma / 255 * noise, picture.image, rivals)

        yield Round(
            name,
            f"Gaussian noise, {name.upper()}",
            "White Gaussian noise from a stream per picture (seed 0), neither clipped nor rounded, given as "
            "floats to all methods; results are clamped to [0, 1], not rounded; PSNR and SSIM over all "
            "channels, whole picture. Sigma in levels of 255. Classical methods are told sigma and have "
            "constants tuned on training photos; 'sigma auto' is estimated from the picture.",
            {f"sigma {s}": lambda s=s, c=cases: c(s) for s in SIGMAS},  # type: ignore[misc]
            quality(0),
            channels,
            reference=None,
        )


def sr(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the rounds of super-resolution: x2, x3, x4."""
    from restore.protocols import cropped, y_psnr
    from restore.resize import resize_bicubic, to_8_bit

    for scale in (2, 3, 4):
        rivals = enlargers(scale)

        def cases(archive: str, scale: int = scale, rivals: list[Contestant] = rivals) -> Iterator[Case]:
            for picture in pictures(folder, f"{archive}.tar", count=count):
                wanted = cropped(picture.image, scale)
                small = to_8_bit(resize_bicubic(wanted, Fraction(1, scale)))
                yield Case(picture.name, small, wanted, rivals)

        def judge(out: Tensor, case: Case, scale: int = scale) -> dict[str, float]:
            if case.target is None:
                raise ValueError(f"{case.name} has no wanted picture")
            y = luminance(to_8_bit(out)), luminance(to_8_bit(case.target))
            return {
                "Y-PSNR": float(y_psnr(out, case.target, scale)),
                "Y-SSIM": float(ssim(*y, border=scale)),
            }

        yield Round(
            f"sr-{scale}",
            f"Super-resolution x{scale}",
            "Pictures are cropped to a multiple of the scale, reduced by cubic convolution with "
            "antialiasing (MATLAB's imresize), rounded to 8 bits. Results are rounded to 8 bits; PSNR and "
            "SSIM on the luma Y of BT.601 in studio range, without a border as wide as the scale.",
            {"Set5": lambda c=cases: c("set5"), "Set14": lambda c=cases: c("set14")},  # type: ignore[misc]
            judge,
            scale=scale,
            reference="bicubic",
            timed_only=(Contestant("vdsr", ({"kind": "vdsr", "scale": scale},), learned=True),),
        )


def deblur(folder: Path, count: int | None, scratch: Path) -> Iterator[Round]:
    """Yield synthetic blur in colour, blind and not, and Levin's blurred pictures with their kernels."""
    from restore.degradations.blur import blurred
    from restore.degradations.kernels import defocus_kernel, motion_kernel

    drawn = {
        "motion": [motion_kernel(RNG.at("motion", size), SIDE, size) for size in MOTION],
        "defocus": [defocus_kernel(size, SIDE) for size in DEFOCUS],
    }

    def cases(kind: str) -> Iterator[Case]:
        rivals = [
            [
                INPUT,
                *_colour(blind("deblur")),
                *deconvolvers(kernel_file(k, scratch, f"{kind}{i}"), BLUR_NOISE),
            ]
            for i, k in enumerate(drawn[kind])
        ]
        for place, picture in enumerate(pictures(folder, "cbsd68.tar", count=count)):
            turn = place % len(rivals)
            noise = RNG.at("blur", kind, picture.name)
            given = blurred(picture.image, drawn[kind][turn], BLUR_NOISE, noise)
            yield Case(picture.name, given, picture.image, rivals[turn])

    yield Round(
        "deblur-cbsd68",
        "Synthetic blur, CBSD68",
        f"Kernels of {SIDE}x{SIDE} pixels by turns: camera paths of {MOTION[0]:g} and {MOTION[1]:g} pixels, "
        f"disks of radius {DEFOCUS[0]:g} and {DEFOCUS[1]:g}; noise of {255 * BLUR_NOISE:g} level, rounded "
        "to 8 bits. Networks are blind; '(kernel told)' get the exact kernel and noise. PSNR and SSIM over "
        f"R, G and B, without a border of {SIDE // 2} pixels.",
        {kind: lambda kind=kind: cases(kind) for kind in drawn},  # type: ignore[misc]
        quality(SIDE // 2),
    )
    yield Round(
        "deblur-levin32",
        "Levin's camera shake, kernel told",
        "4 grey pictures x 8 measured kernels (Levin et al. 2009). Kernels and pictures are stored without a "
        "common origin: each kernel is turned and moved by whole pixels to fit its first sharp picture. PSNR "
        f"and SSIM without a border of {LEVIN_BORDER} pixels.",
        {"Levin": lambda: levin(folder, count, scratch)},
        quality(LEVIN_BORDER),
        channels=1,
    )


def _colour(found: list[Contestant]) -> list[Contestant]:
    return [each for each in found if each.takes(3)]


def real(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the round of real camera noise."""

    def cases() -> Iterator[Case]:
        median = Contestant("median", ({"kind": "median"},))
        learned = _colour(blind("real"))
        for noisy in pictures(folder, POLYU, count=count, ending="_real"):
            name = PurePosixPath(noisy.name)
            wanted = pictures(folder, POLYU, ending=name.stem.removesuffix("_real") + "_mean")
            yield Case(noisy.name, noisy.image, wanted[0].image, [INPUT, median, *GUESSING, *learned])

    yield Round(
        "real-polyu",
        "Real noise, PolyU",
        "60 crops of camera JPEGs and the mean of many exposures as reference (Xu et al. 2018). Nobody is "
        "told anything: networks with a noise map estimate it, classical methods assume 5 levels. PSNR and "
        "SSIM over R, G and B, whole picture.",
        {"PolyU": cases},
        quality(0),
    )


def lowlight(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the round of dark photographs, which have no reference."""
    from restore.niqe import niqe

    def cases() -> Iterator[Case]:
        rivals = [INPUT, *enlighteners()]
        for picture in pictures(folder, "lowlight_sci_easy_medium18.tar", count=count):
            if min(picture.image.shape[2:]) >= MINIMUM:
                yield Case(picture.name, picture.image, None, rivals)

    def judge(out: Tensor, case: Case) -> dict[str, float]:
        return {"NIQE": float(niqe(out)), "mean luma": float(luminance(out).mean())}

    yield Round(
        "lowlight-sci",
        "Dark photographs without reference",
        "Naturalness (NIQE's idea, our own parameters): lower is better. It does not judge alone: see the "
        "accuracy that `clearsight run` measures with the low-light recipes.",
        {"SCI": cases},
        judge,
    )


POLYU = "polyu_real_noise_60pairs.tar"
GUESSING = tuple(
    Contestant(f"{kind}, 5 levels", ({"kind": kind, "sigma": 5 / 255},))
    for kind in ("non_local_means", "total_variation", "wavelet", "bilateral")
)
"""Classical methods for noise of unknown strength."""
