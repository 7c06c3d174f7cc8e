"""Measures the shipped restorers again on this machine and writes the times into their cards.

    python benchmarks/stamp_speed.py [--threads 2] [ID ...]

Training measures them too, but a machine that trains is rarely idle.
"""

from __future__ import annotations

import argparse
import json

import torch

from clearsight.data.home import replace_file
from clearsight.data.weights import CARD, find, shipped
from clearsight.pipelines.config.registries import BUILDABLE
from clearsight.pipelines.systems.speed import speed


def main() -> None:
    """Time the weights one after the other."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("ids", nargs="*", help="weights; all restorers where left out")
    arguments.add_argument("--threads", type=int, default=2)
    told = arguments.parse_args()
    torch.set_num_threads(told.threads)
    found = [find(name) for name in told.ids] or [w for w in shipped() if w.folder.parts[-3] == "restore"]
    for weights in found:
        model = BUILDABLE.parse(weights.card["spec"] | {"weights": str(weights.folder)}).build()  # type: ignore[attr-defined]
        measured = speed(model, channels=model.facts.channels[-1])
        card = weights.card | {"speed": measured}
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
        replace_file(weights.folder / CARD, text.encode())
        print(f"{weights.folder.name}: {measured['milliseconds']} ms ({measured['machine']})")


if __name__ == "__main__":
    main()
