"""What it costs to ask the system for memory anew for every layer.

    python benchmarks/kept_memory.py [--images 50] [--side 224] [--turns 3]

CPU seconds of networks with freed memory kept by the process, and given back. Both ways take turns, each in a
process of its own, on one thread: two passes of the images to begin with, then three that count. Prints a
Markdown table of medians.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys

NETWORKS = ("efficientnet_lite0", "denoise-color-v2")
PASSES = 3


def child(network: str, images: int, side: int, *, kept: bool) -> None:
    """Print user and system seconds a pass, and the most memory in MB."""
    import torch

    import clearsight
    from clearsight.data.heap import keep_freed_memory

    if kept and not keep_freed_memory():
        raise SystemExit("this C library has no mallopt")
    torch.set_num_threads(1)
    part = clearsight.load(network)
    x = torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for _ in range(2):
            part(x)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(PASSES):
            part(x)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = [after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime]
    print(json.dumps([*(seconds / PASSES for seconds in spent), after.ru_maxrss / 1024]))


def main() -> None:
    """Measure both ways in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("NETWORK", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], options.images, options.side, kept=options.child[1] == "kept")
        return
    print(f"{platform.machine()}, {options.images} images of {options.side}x{options.side}, one thread\n")
    print("| network | asked anew: user s | system s | MB | kept: user s | system s | MB | ratio of CPU |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for network in NETWORKS:
        seen: dict[str, list[list[float]]] = {"anew": [], "kept": []}
        for _ in range(options.turns):
            for way, figures in seen.items():
                call = [sys.executable, __file__, "--child", network, way]
                call += ["--images", str(options.images), "--side", str(options.side)]
                figures.append(json.loads(subprocess.run(call, capture_output=True, check=True).stdout))
        anew, kept = (
            [statistics.median(column) for column in zip(*rows, strict=True)] for rows in seen.values()
        )
        told = " | ".join(f"{u:.2f} | {s:.2f} | {mb:,.0f}" for u, s, mb in (anew, kept))
        print(f"| `{network}` | {told} | {(anew[0] + anew[1]) / (kept[0] + kept[1]):.2f} |")


if __name__ == "__main__":
    main()
