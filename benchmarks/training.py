"""Images a second of adversarial training, beside a plain loop around torchattacks, in one run.

One step is the attack, the forward and backward pass of the network and the SGD update, on batches already in
memory. All train the same network from the same weights on the same images, with the same threads, and
take turns, so that a slow moment hits all of them; the ratio is the median over the turns. Run from the
repository, with ``CLEARSIGHT_DATA`` set: ``python benchmarks/training.py``.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clearsight.data.contract.method import MODEL, Method, TrainBatch
from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.initial import initialise
from clearsight.data.sources.parquet import Parquet
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.training.adversarial import Adversarial
from clearsight.defend.training.fat import FAT
from clearsight.pipelines.config.train import SGD
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.systems.device import choose_device, layout, machine
from clearsight.pipelines.training.optimiser import optimiser

CLASSES, EPS, STEPS, SIZE = 10, 8 / 255, 10, 2 / 255
BASE = "torchattacks PGD-10"
"""Contestant that the others are compared with."""
HOW = SGD(rate=0.05)

Batch = tuple[Tensor, Tensor]
Step = Callable[[Tensor, Tensor], int]
"""Trains on a batch; returns how many input gradients, summed over images, the attack computed."""


@dataclass
class Runner:
    """One contestant.

    Attributes:
        model: its own copy of the network.
        step: does one step of training.
        seconds: of each turn.
        passes: input gradients per image that the attack computed in each turn.
    """

    model: nn.Module
    step: Step
    seconds: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)


def network(depth: int = 10, width: int = 24, stride: int = 2) -> nn.Module:
    """Return the network that all start from, in train mode, with the same weights every time."""
    fields = {"kind": "preact_resnet", "classes": CLASSES, "depth": depth, "width": width, "stride": stride}
    model: nn.Module = CLASSIFIERS.parse(fields).build()
    initialise(model.get_submodule("network"), Rng(0).at("benchmark"))
    return model.train()


def ours(method: Method, start: nn.Module, device: str) -> Runner:
    """Return a contestant that trains by one of this package's methods, as the training loop does it."""
    model = copy.deepcopy(start)
    model.to(device=device, memory_format=layout(model, device)).train()  # type: ignore[call-overload]
    own, count = optimiser(model.parameters(), HOW), iter(range(1 << 60))

    def step(images: Tensor, labels: Tensor) -> int:
        # The beginning of the budget: FAT has tau 0 there.
        batch = TrainBatch(images, labels, tuple(map(str, range(len(images)))), share=0.0)
        for _, loss in method.step({MODEL: model}, batch, Rng(0).at(next(count))):
            own.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            own.step()
        return batch.tally.passes

    return Runner(model, step)


def peer(start: nn.Module, device: str, order: torch.memory_format = torch.contiguous_format) -> Runner:
    """Return the plain loop: torchattacks' PGD, then a step of SGD."""
    import torchattacks

    model = copy.deepcopy(start)
    model.to(device=device, memory_format=order).train()  # type: ignore[call-overload]
    own = optimiser(model.parameters(), HOW)
    attack = torchattacks.PGD(model, eps=EPS, alpha=SIZE, steps=STEPS)

    def step(images: Tensor, labels: Tensor) -> int:
        # torchattacks attacks in eval mode and restores the mode that it found: train mode.
        hard = attack(images, labels)
        own.zero_grad(set_to_none=True)
        cross_entropy(model(hard), labels).backward()  # type: ignore[no-untyped-call]
        own.step()
        return STEPS * len(images)

    return Runner(model, step)


def contestants(start: nn.Module, device: str) -> dict[str, Runner]:
    """Return name -> contestant."""
    return {
        BASE: peer(start, device),
        f"{BASE}, channels last": peer(start, device, torch.channels_last),
        "adversarial, 10 steps": ours(Adversarial(eps=EPS, steps=STEPS, step_size=SIZE), start, device),
        "fat, tau 0": ours(FAT(eps=EPS, steps=STEPS, step_size=SIZE), start, device),
        "adversarial, 1 step (N-FGSM)": ours(Adversarial(eps=EPS, steps=1), start, device),
    }


def load(path: str, batch: int, number: int, device: str) -> list[Batch]:
    """Return batches of training images, float32 in [0, 1], and their labels."""
    source = Parquet(path=path, take=batch * number)
    samples = [each for each in source.read(source.index().entries) if isinstance(each, Sample)]
    images = to_tensor([each.image for each in samples]).to(device)
    labels = torch.tensor([each.truth for each in samples]).to(device)
    mixed = torch.randperm(len(labels), generator=Rng(0).at("order").torch()).to(device)
    parts = [mixed[first : first + batch] for first in range(0, len(mixed) - batch + 1, batch)]
    return [(images[rows], labels[rows]) for rows in parts]


def prepared(start: nn.Module, batches: Sequence[Batch], steps: int, device: str) -> nn.Module:
    """Return the network after so many steps of N-FGSM: FAT's saving depends on what is classified right."""
    runner = ours(Adversarial(eps=EPS, steps=1), start, device)
    for turn in range(steps):
        runner.step(*batches[turn % len(batches)])
    return runner.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


def measure(runners: dict[str, Runner], batches: Sequence[Batch], turns: int, warm_up: int = 1) -> None:
    """Let the contestants take turns and record their times."""
    for turn in range(-warm_up, turns):
        for runner in runners.values():
            images, labels = batches[turn % len(batches)]
            _finish(images)
            begin = perf_counter()
            passes = runner.step(images, labels)
            _finish(images)
            if turn >= 0:
                runner.seconds.append(perf_counter() - begin)
                runner.passes.append(passes / len(images))


def _finish(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)


def table(runners: dict[str, Runner], batch: int) -> str:
    """Return what was measured as a Markdown table."""
    base = runners[BASE].seconds
    lines = [
        "| training | images a second | as many as the plain loop | attack's gradients an image |",
        "|---|---|---|---|",
    ]
    for name, each in runners.items():
        speed = batch / statistics.median(each.seconds)
        ratio = statistics.median(there / here for here, there in zip(each.seconds, base, strict=True))
        lines.append(f"| {name} | {speed:.0f} | {ratio:.2f}x | {statistics.mean(each.passes):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", default="cifar10_jpeg75_train.parquet")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--before", type=int, default=60, help="steps of N-FGSM before the turns begin")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--depth", type=int, default=10, choices=(10, 18, 34))
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--stride", type=int, default=2, choices=(1, 2))
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    device = choose_device(told.device)
    torch.manual_seed(0)  # noqa: TID251 the peer draws from the global generator
    batches = load(told.data, told.batch, 20, device)
    start = prepared(network(told.depth, told.width, told.stride), batches, told.before, device)
    runners = contestants(start, device)
    measure(runners, batches, told.turns)
    print(f"{machine(device)}, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"preact_resnet depth {told.depth} width {told.width} stride {told.stride}, batch {told.batch}")
    print(table(runners, told.batch))


if __name__ == "__main__":
    main()
