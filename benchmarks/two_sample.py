"""A two-sample test as a detector of attacked sets: power, false alarms, and an attack that knows it.

Sets of test images of CIFAR-10-JPEG75 are compared with clean ones (``defend/uncertainty/two_sample.py``), by
features of `cifar10-jpeg75-standard-v1`. A figure is the share of trials in which the test at 5 % suspects a
set: of clean images, of damaged and restored ones, of PGD that leaves an image as soon as it is wrong, of PGD
that goes on to the end, and of a PGD whose loss subtracts the discrepancy of the whole batch, so that the set
looks clean. Trials draw from the same images, and are not independent. Run from the repository, with
``CLEARSIGHT_DATA`` set:

``python benchmarks/two_sample.py``
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from clearsight.data.catalogue import CORRUPTIONS
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.parquet import Parquet
from clearsight.defend.attacks.pgd import PGD
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.classifier import Classifier, features_layer
from clearsight.defend.search.losses import margin
from clearsight.defend.target import AttackBatch
from clearsight.defend.uncertainty.two_sample import SemanticKernel, discrepancy, two_sample
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.target import SystemTarget
from clearsight.restore.catalogue import RESTORERS

WEIGHTS, DENOISER = "cifar10-jpeg75-standard-v1", "denoise-color-v2"
RADII = (4, 8)
"""Of the attacks, in levels of 255."""
KAPPA = 1.0
"""Lead of a wrong class, in logits, that is enough for the attack that knows the test."""
WEIGHT = 30.0
"""What the discrepancy weighs beside the mean lead; tried on training images: 300 does no better."""
ALPHA = 0.05
BATCH = 50
Pools = dict[str, Callable[[], Tensor]]


class Seen:
    """A classifier, and the features that its last linear layer was given."""

    def __init__(self, model: Classifier) -> None:
        """Look at the last linear layer."""
        self.model, self.given = model, torch.empty(0)
        layer = features_layer(model)
        assert layer is not None
        layer.register_forward_pre_hook(self._look)

    def _look(self, _: object, given: tuple[Tensor, ...]) -> None:
        self.given = given[0].flatten(1)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features."""
        return self.model(x), self.given


def climbed(
    seen: Seen,
    images: Tensor,
    labels: Tensor,
    own: Tensor,
    kernel: SemanticKernel | None,
    eps: float,
    steps: int,
) -> Tensor:
    """Return a batch after PGD that goes on to the end: for the lead, or against the test too.

    Args:
        seen: the classifier.
        images: (n, c, h, w), where it begins.
        labels: (n,).
        own: clean images of the attacker's own, which the batch shall resemble.
        kernel: of the test; None: the attack does not know it.
        eps: radius, linf.
        steps: of the ascent.
    """
    with torch.no_grad():
        known = seen(own)[1]
    lead, x = margin(labels), images.clone()
    for _ in range(steps):
        leaf = x.clone().requires_grad_()
        logits, features = seen(leaf)
        goal = lead(logits).mean()
        if kernel is not None:
            likeness = kernel(torch.cat([known, features]), torch.cat([own, leaf]))
            goal = lead(logits).clamp(max=KAPPA).mean() - WEIGHT * discrepancy(likeness, len(own))
        (slope,) = torch.autograd.grad(goal, leaf)
        x = (x + 2.5 * eps / steps * slope.sign()).clamp(images - eps, images + eps).clamp(0, 1)
    return x.detach()


def suspected(
    seen: Seen, reference: Tensor, pool: Tensor, kernel: SemanticKernel, size: int, trials: int, rng: Rng
) -> float:
    """Return the share of trials in which a set of the pool is suspected."""
    with torch.no_grad():
        known, own = seen(reference)[1], seen(pool)[1]
    alarms = 0
    for trial in range(trials):
        generator = rng.at("draw", trial).torch()
        a, b = (torch.randperm(len(x), generator=generator)[:size] for x in (reference, pool))
        likeness = kernel(torch.cat([known[a], own[b]]), torch.cat([reference[a], pool[b]]))
        alarms += two_sample(likeness, size, rng.at("test", trial), 199).p <= ALPHA
    return alarms / trials


def pools(
    seen: Seen, images: Tensor, labels: Tensor, own: Tensor, kernel: SemanticKernel, steps: int
) -> Pools:
    """Return name -> how to make its images.

    Args:
        seen: the classifier.
        images: clean ones, (n, c, h, w).
        labels: (n,).
        own: as many clean images that the attacker has.
        kernel: of the test.
        steps: of every attack.
    """

    def damaged(**fields: object) -> Tensor:
        corruption = CORRUPTIONS.parse(fields | {"severity": 1, "table": "cifar_c"})
        pixels = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
        made = [corruption.apply(x.copy(), Rng(0).at("damage", i).numpy()) for i, x in enumerate(pixels)]
        return to_tensor(made)

    def stopping(eps: float) -> Tensor:
        system = chain(seen.model.spec).build()
        parts = []
        for number, (x, y) in enumerate(zip(images.split(BATCH), labels.split(BATCH), strict=True)):
            ids = tuple(f"{number}-{i}" for i in range(len(x)))
            target = SystemTarget(system, ids, Rng(0).at("draws"))
            batch = AttackBatch(x, y, ids, torch.arange(len(x)))
            parts.append(PGD(eps=eps, steps=steps)(target, batch, Rng(0).at("attack")))
        return torch.cat(parts)

    def to_the_end(eps: float, known: SemanticKernel | None) -> Tensor:
        each = zip(images.split(BATCH), labels.split(BATCH), own.split(BATCH), strict=True)
        return torch.cat([climbed(seen, x, y, mine, known, eps, steps) for x, y, mine in each])

    denoiser = RESTORERS.parse({"kind": "unet_denoiser", "weights": DENOISER}).build()
    made: Pools = {
        "clean": lambda: images,
        "brightness, severity 1": lambda: damaged(kind="brightness"),
        "JPEG, severity 1": lambda: damaged(kind="jpeg_compression"),
        "Gaussian noise, severity 1": lambda: damaged(kind="gaussian_noise"),
        "clean, denoised": lambda: torch.cat([denoiser(part).detach() for part in images.split(BATCH)]),
        f"PGD that stops, linf {RADII[-1]}/255": lambda: stopping(RADII[-1] / 255),
    }
    for level in RADII:
        made[f"PGD to the end, linf {level}/255"] = partial(to_the_end, level / 255, None)
        made[f"PGD that knows the test, linf {level}/255"] = partial(to_the_end, level / 255, kernel)
    return made


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--images", type=int, default=200, help="in the reference, and in each pool")
    told.add_argument("--trials", type=int, default=100)
    told.add_argument("--steps", type=int, default=10)
    arguments = told.parse_args()
    n = arguments.images
    source = Parquet(path="cifar10_jpeg75_test.parquet", take=3 * n)
    samples = [each for each in source.read(source.index().entries) if isinstance(each, Sample)]
    reference, clean, own = to_tensor([each.image for each in samples]).split(n)
    labels = torch.tensor([each.truth for each in samples[n : 2 * n]])
    model = CLASSIFIERS.parse({"kind": "preact_resnet", "weights": WEIGHTS}).build()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    seen = Seen(model)
    kernel = SemanticKernel.median(seen(reference)[1], reference)
    print("| set of | classified correctly | sets of 50 suspected | sets of 100 suspected |")
    print("| --- | ---: | ---: | ---: |")
    for name, make in pools(seen, clean, labels, own, kernel, arguments.steps).items():
        pool = make()
        right = float((seen(pool)[0].argmax(1) == labels).float().mean())
        rates = [
            suspected(seen, reference, pool, kernel, size, arguments.trials, Rng(0).at(name, size))
            for size in (50, 100)
        ]
        print(f"| {name} | {right:.1%} | {rates[0]:.0%} | {rates[1]:.0%} |", flush=True)


if __name__ == "__main__":
    main()
