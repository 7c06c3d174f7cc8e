"""The protocols of weather and water: input, target and measures for each set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from _contestants import INPUT, Contestant
from _sets import Image, images
from _table import Case
from _tasks import Round, quality

from clearsight.data.contract.errors import DataError

DEHAZERS: dict[str, dict[str, Any]] = {
    "dark_channel": {"kind": "dark_channel"},
    "CLAHE": {"kind": "clahe"},
    "histogram equalization": {"kind": "histogram_equalization"},
}
WATER: dict[str, dict[str, Any]] = {
    "underwater_fusion": {"kind": "underwater_fusion"},
    "white_balance, grey world": {"kind": "white_balance", "method": "grey_world"},
    "white_balance, shades of grey": {"kind": "white_balance"},
    "white_balance, max-RGB": {"kind": "white_balance", "method": "max_rgb"},
    "CLAHE": {"kind": "clahe"},
    "histogram equalization": {"kind": "histogram_equalization"},
}
"""Label -> node, with the defaults of each kind."""


def haze(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the round of synthetic indoor haze."""
    yield Round(
        "haze-sots",
        "Haze, SOTS indoor",
        "10 scenes of RESIDE's indoor test part (Li et al. 2019), two strengths of haze each; nobody is told "
        "transmission or airlight. PSNR and SSIM over R, G and B, whole image.",
        {
            "SOTS, 10 scenes": partial(
                _paired, folder, count, "sots_indoor_10scenes.tar", ("hazy", "GT"), DEHAZERS, _scene
            )
        },
        quality(0),
    )


def _scene(name: str) -> str:
    """Return the scene that a hazy image shows: ``1402_3`` is of scene ``1402``."""
    return PurePosixPath(name).stem.partition("_")[0]


def water(folder: Path, count: int | None) -> Iterator[Round]:
    """Yield the round of underwater images."""
    yield Round(
        "water-euvp",
        "Under water, EUVP",
        "23 pairs of EUVP (Islam et al. 2020): good underwater photographs and versions that a network made "
        "worse. PSNR and SSIM over R, G and B, whole image.",
        {
            "EUVP, 23 pairs": partial(
                _paired, folder, count, "euvp_underwater_23pairs.tar", ("A", "GTr_A"), WATER, _stem
            )
        },
        quality(0),
    )


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _paired(
    folder: Path,
    count: int | None,
    archive: str,
    parts: tuple[str, str],
    nodes: dict[str, dict[str, Any]],
    shown: Callable[[str], str],
) -> Iterator[Case]:
    """Yield images of one folder of an archive, with those of the other that show the same as targets."""
    rivals = [INPUT, *(Contestant(label, (node,)) for label, node in nodes.items())]
    targets: dict[str, Image] = {shown(each.name): each for each in images(folder, archive, ending=parts[1])}
    for given in images(folder, archive, count=count, ending=parts[0]):
        if shown(given.name) not in targets:
            raise DataError("has no reference of its name", where=given.name)
        yield Case(given.name, given.image, targets[shown(given.name)].image, rivals)
