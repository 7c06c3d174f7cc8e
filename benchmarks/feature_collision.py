"""Clean-label poison by feature collision: success, what a filter finds, and what a denoiser in front leaves.

The features of `cifar10-jpeg75-standard-v1` are kept, its last layer is trained anew on 2,000 images: the
setting in which the attack was published. For each of the targets, test images that are classified right
before, a class is drawn, and images of it are moved by at most eps until their features are the target's.
They keep their label. Success is a target that is then taken for that class. Run from the repository, with
``CLEARSIGHT_DATA`` set:

``python benchmarks/feature_collision.py``
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.sources.parquet import Parquet
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.classifier import features_layer
from clearsight.defend.poison_filters.spectral_signatures import SpectralSignatures
from clearsight.defend.search.collision import collide
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.restore.catalogue import RESTORERS

WEIGHTS, DENOISER = "cifar10-jpeg75-standard-v1", "denoise-color-v2"
TRAIN, TEST, CLASSES, BATCH = 2000, 500, 10, 100
DECAY = 1e-3
"""Weight decay of the last layer, which 2,000 images would overfit."""
Features = Callable[[Tensor], Tensor]


def read(path: str, count: int) -> tuple[Tensor, Tensor]:
    """Return the first images (n, 3, h, w) of a file and their labels."""
    source = Parquet(path=path, take=count)
    samples = [each for each in source.read(source.index().entries) if isinstance(each, Sample)]
    return to_tensor([each.image for each in samples]), torch.tensor([each.truth for each in samples])


def features_of() -> Features:
    """Return images to features, differentiable."""
    model = CLASSIFIERS.parse({"kind": "preact_resnet", "weights": WEIGHTS}).build()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    layer, seen = features_layer(model), []
    assert layer is not None
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    def features(x: Tensor) -> Tensor:
        seen.clear()
        model(x)
        out: Tensor = seen.pop()
        return out

    return features


def in_batches(function: Features, images: Tensor) -> Tensor:
    """Return what a function says of many images, without gradients."""
    with torch.no_grad():
        return torch.cat([function(part) for part in images.split(BATCH)])


def head(features: Tensor, labels: Tensor) -> nn.Linear:
    """Return the last layer that minimises the cross-entropy with weight decay."""
    layer = nn.Linear(features.shape[1], CLASSES)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = nn.functional.cross_entropy(layer(features), labels) + DECAY * layer.weight.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimiser.step(loss)
    return layer


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--targets", type=int, default=20)
    told.add_argument("--poisons", type=int, default=10, help="for each target")
    told.add_argument("--eps", type=float, default=16, help="in levels of 255")
    told.add_argument("--steps", type=int, default=60)
    arguments = told.parse_args()
    features, eps = features_of(), arguments.eps / 255
    images, labels = read("cifar10_jpeg75_train.parquet", 2 * TRAIN)
    test, truths = read("cifar10_jpeg75_test.parquet", TEST)
    train, spare = (images[:TRAIN], labels[:TRAIN]), (images[TRAIN:], labels[TRAIN:])
    denoiser = RESTORERS.parse({"kind": "unet_denoiser", "weights": DENOISER, "sigma": eps / 2}).build()

    def restored(x: Tensor) -> Tensor:
        return features(denoiser(x))

    ways = {"nothing": features, "denoiser": restored}
    known = {way: in_batches(function, train[0]) for way, function in ways.items()}
    asked = {way: in_batches(function, test) for way, function in ways.items()}
    before = {way: head(known[way], train[1]) for way in ways}
    right = (before["nothing"](asked["nothing"]).argmax(1) == truths) & (
        before["denoiser"](asked["denoiser"]).argmax(1) == truths
    )
    targets = right.nonzero()[: arguments.targets, 0].tolist()
    turned = dict.fromkeys(("nothing", "sifted", "denoiser"), 0)
    accuracy, found = dict.fromkeys(turned, 0.0), 0
    for target in targets:
        step = 1 + int(torch.randint(CLASSES - 1, (), generator=Rng(0).at("class", target).torch()))
        wrong = (int(truths[target]) + step) % CLASSES
        bases = spare[0][(spare[1] == wrong).nonzero()[: arguments.poisons, 0]]
        victim = test[target : target + 1].expand_as(bases)
        poison = collide(features, bases, victim, eps=eps, steps=arguments.steps)
        said = torch.cat([train[1], torch.full((len(poison),), wrong)])
        for way, function in ways.items():
            mixed = torch.cat([known[way], in_batches(function, poison)])
            layers = {way: head(mixed, said)}
            if way == "nothing":
                share = len(poison) / len(said)
                removed = SpectralSignatures(share=share).sift(mixed.double().numpy(), said.numpy()).removed
                found += int(removed[TRAIN:].sum())
                left = torch.from_numpy(~removed)
                layers["sifted"] = head(mixed[left], said[left])
            for name, layer in layers.items():
                answers = layer(asked[way]).argmax(1)
                turned[name] += int(answers[target] == wrong)
                accuracy[name] += float((answers == truths).float().mean())
    count, made = len(targets), len(targets) * arguments.poisons
    print(f"{arguments.poisons} poisons of {TRAIN}, linf {arguments.eps:g}/255; {count} targets.")
    clean = float((before["nothing"](asked["nothing"]).argmax(1) == truths).float().mean())
    print(f"Last layer without poison: {clean:.1%}")
    print(f"Poisons among those that spectral signatures remove: {found} of {made}.\n")
    print("| last layer trained on | targets turned | test accuracy |\n| --- | ---: | ---: |")
    for name, words in (
        ("nothing", "poisoned"),
        ("sifted", "poisoned, sifted"),
        ("denoiser", "poisoned, all denoised"),
    ):
        print(f"| {words} | {turned[name]} of {count} | {accuracy[name] / count:.1%} |")


if __name__ == "__main__":
    main()
