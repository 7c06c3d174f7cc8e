"""Measures gates in front of classifiers, and chooses their thresholds, on held-out training images.

    CLEARSIGHT_DATA=folder python benchmarks/gates.py [--branches branches.npz] [--sense degradation-sense-v1]

Tiny-ImageNet-20: 500 training images that no classifier learned from (the 25 of each class before the test
part, which is not touched), each clean, under two of the 15 corruptions and under one of the four others, at
severity 1, 3 or 5, all drawn at random. The learned router is fitted on 300 of them and evaluated on the
other 200, which clarity-small-v2 did not learn from either.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from _branches import CLASSIFIERS, RESTORERS, Branches, branches
from numpy.typing import NDArray

from clearsight.data.benchmark.sets import IMAGENET_C_15
from clearsight.pipelines.config.registries import BUILDABLE
from clearsight.pipelines.systems.gates.damage_gate import DamageGate
from clearsight.restore.ops.noise_level import estimate_sigma
from clearsight.restore.sense import KINDS as DAMAGES

Right = NDArray[np.bool_]
LOSS = 0.01
"""Most clean accuracy, as a share, that a threshold may cost."""
NOISE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
CHANCE = tuple(round(0.02 * step, 2) for step in range(10, 50))


class Bench:
    """The branches of one classifier and what is known of the images."""

    def __init__(self, found: Branches, classifier: int, sense: str) -> None:
        """Compute the outputs of the sense and the noise level of every image once."""
        self.found = found
        self.logits = torch.from_numpy(found.logits[:, classifier].astype(np.float32))
        self.truth = torch.from_numpy(found.truth)
        self.answers = self.logits.argmax(2)
        self.select = found.part == "select"
        self.clean = found.kind == "clean"
        self.seen = np.isin(found.kind, IMAGENET_C_15)
        self.unseen = ~self.clean & ~self.seen
        self.outputs, self.noise = _looked(found.image, sense)
        chance = self.outputs[:, :DAMAGES]
        self.damage = 1.0 - (1.0 - chance.clamp(1e-6, 1 - 1e-6)).log().sum(1).exp()

    def right(self, branch: torch.Tensor) -> Right:
        """Return whether the chosen branch of each image is right."""
        chosen = self.answers.gather(1, branch[:, None])[:, 0]
        return (chosen == self.truth).numpy()

    def row(self, name: str, right: Right, within: Right | None = None) -> tuple[str, float, float, float]:
        """Return name and accuracy, in [0, 1], on clean images, the 15 corruptions and the 4 others."""
        parts = [part if within is None else part & within for part in (self.clean, self.seen, self.unseen)]
        clean, seen, unseen = (float(right[part].mean()) for part in parts)
        return name, clean, seen, unseen


@torch.inference_mode()
def _looked(images: NDArray[np.uint8], sense: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the outputs of the sense, and the classical noise level, of every image."""
    part = BUILDABLE.parse({"kind": "degradation_sense", "weights": sense}).build()
    outputs, noise = [], []
    for start in range(0, len(images), 256):
        x = torch.from_numpy(images[start : start + 256]).permute(0, 3, 1, 2).float() / 255.0
        outputs.append(part(x))
        noise.append(estimate_sigma(x).flatten())
    return torch.cat(outputs), torch.cat(noise)


def best(bench: Bench, branch: int, measured: torch.Tensor, steps: list[float]) -> tuple[float, Right]:
    """Return the threshold that gains most at a clean loss of at most `LOSS`, and which images are right."""
    never = bench.right(torch.zeros(len(measured), dtype=torch.int64))
    damaged = bench.seen | bench.unseen
    tried = [(step, bench.right((measured >= step).long() * branch)) for step in steps]
    allowed = [each for each in tried if never[bench.clean].mean() - each[1][bench.clean].mean() <= LOSS] or [
        tried[-1]
    ]
    return max(allowed, key=lambda each: float(each[1][damaged].mean()))


def router(bench: Bench) -> Right:
    """Return which images are right behind a linear router over all branches, fitted on the ``fit`` part.

    It maximises the expected share of branches that give the classifier's answer on the clean image, from
    the log-odds, severities and noise level that the sense tells.
    """
    chance = bench.outputs[:, :DAMAGES].clamp(1e-4, 1 - 1e-4)
    facts = torch.cat([chance.logit(), bench.outputs[:, DAMAGES:]], dim=1)
    fit = torch.from_numpy(bench.found.part == "fit")
    facts = (facts - facts[fit].mean(0)) / facts[fit].std(0)
    # Labels stand for the answers on clean images: the classifier learned from none of these.
    agree = (bench.answers == bench.truth[:, None]).float()
    layer = torch.nn.Linear(facts.shape[1], agree.shape[1])
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = -(layer(facts[fit]).softmax(1) * agree[fit]).sum(1).mean()
        loss = loss + 1e-3 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return bench.right(layer(facts).argmax(1))


def rows(bench: Bench) -> list[tuple[str, float, float, float]]:
    """Return the rows of the table, for each restorer and for all together."""
    n = len(bench.truth)
    told = [bench.row("never", bench.right(torch.zeros(n, dtype=torch.int64)))]
    chances = bench.logits.log_softmax(2)
    for branch, name in enumerate(RESTORERS, 1):
        told.append(bench.row(f"{name}: always", bench.right(torch.full((n,), branch))))
        for words, measured, steps in (
            ("noise_gate", bench.noise, [level / 255 for level in NOISE]),
            ("damage_gate", bench.damage, list(CHANCE)),
        ):
            threshold, right = best(bench, branch, measured, steps)
            shown = f"{255 * threshold:.0f}/255" if words == "noise_gate" else f"{threshold:g}"
            told.append(bench.row(f"{name}: {words}, threshold {shown}", right))
        default = DamageGate().threshold
        gated = bench.right((bench.damage >= default).long() * branch)
        told.append(bench.row(f"{name}: damage_gate, threshold {default:g} (the default)", gated))
        two = chances[:, [0, branch]]
        for words, mixed in (("mean_probabilities", two.exp().mean(1)), ("mean_logits", two.mean(1))):
            told.append(bench.row(f"{name}: {words}", (mixed.argmax(1) == bench.truth).numpy()))
        surer = two.amax(2).argmax(1) * branch
        told.append(bench.row(f"{name}: the surer branch", bench.right(surer)))
        oracle = (bench.answers[:, [0, branch]] == bench.truth[:, None]).any(1).numpy()
        told.append(bench.row(f"{name}: oracle", oracle))
    told.append(bench.row("200 images, all: linear router on the sense", router(bench), bench.select))
    for branch, name in enumerate(("never", *RESTORERS)):
        always = bench.right(torch.full((n,), branch))
        told.append(bench.row(f"200 images: {name}", always, bench.select))
    told.append(
        bench.row("all: mean_probabilities", (chances.exp().mean(1).argmax(1) == bench.truth).numpy())
    )
    told.append(bench.row("all: oracle", (bench.answers == bench.truth[:, None]).any(1).numpy()))
    return told


def main() -> None:
    """Print one table per classifier."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--branches", type=Path, default=Path("branches.npz"))
    parser.add_argument("--sense", default="degradation-sense-v1")
    told = parser.parse_args()
    found = branches(told.branches)
    for number, classifier in enumerate(CLASSIFIERS):
        bench = Bench(found, number, told.sense)
        counts = [int(part.sum()) for part in (bench.clean, bench.seen, bench.unseen)]
        shown = zip(("clean", "15 corruptions", "4 others"), counts, strict=True)
        print(f"\n| {classifier} | " + " | ".join(f"{words} ({count})" for words, count in shown) + " |")
        print("|---|---:|---:|---:|")
        for name, *shares in rows(bench):
            print(f"| {name} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")


if __name__ == "__main__":
    main()
