"""Fits the parameters of ``restore/quality/niqe.py`` on a folder of clean photographs.

The shipped ones come from the 400 training and test photographs of BSDS500:
``python benchmarks/fit_niqe.py FOLDER --name "BSDS500, 200 training and 200 test photographs"``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
from safetensors.torch import save_file

from clearsight.restore.quality.niqe import PARAMETERS, fit

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


def photographs(folder: Path) -> Iterator[torch.Tensor]:
    """Yield (1, 3, h, w) in [0, 1] for every image below a folder, sorted by path."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGES):
        image = cv2.imread(str(path))
        if image is None:
            raise SystemExit(f"{path}: cannot be read")
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        yield torch.from_numpy(rgb).permute(2, 0, 1)[None].to(torch.float32) / 255


def main() -> None:
    """Fit the parameters and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="what the photographs are, kept in the file")
    parser.add_argument("--out", type=Path, default=PARAMETERS)
    options = parser.parse_args()
    found = fit(photographs(options.folder))
    card = {
        "name": "niqe-clearsight",
        "fitted_on": options.name,
        "note": "own parameters; not comparable with published NIQE figures",
        "made_by": "benchmarks/fit_niqe.py",
    }
    save_file({key: value.contiguous() for key, value in found.items()}, options.out, metadata=card)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
