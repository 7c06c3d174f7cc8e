"""Robust accuracy, model evaluations and seconds of the attacks, beside their peers, in one run.

The same images, network, radius and batch for all: pyautoattack (the reference AutoAttack) and torchattacks
(PGD-10) against this package's AutoAttack, swift and PGD-10. Forward and backward passes are counted per
image, the peers' by a wrapper around the network. Run from the repository, with ``CLEARSIGHT_DATA`` set:

``python benchmarks/attacks.py --out runs/benchmark-attacks``

The result of every (network, norm, contestant) is saved as it ends, so that a killed run can be continued.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.sample import Sample
from clearsight.data.home import replace_file
from clearsight.data.sources.parquet import Parquet
from clearsight.defend.attacks.autoattack import AutoAttack
from clearsight.defend.attacks.base import BallAttack
from clearsight.defend.attacks.pgd import PGD
from clearsight.defend.attacks.swift import Swift
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.defend.target import AttackBatch
from clearsight.pipelines.evaluation.rows import to_tensor
from clearsight.pipelines.systems.graph import chain
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget

CHUNK = 64
"""Images per batch, for all contestants."""
RADII = {"linf": 8 / 255, "l2": 0.5}
NETWORKS = {
    "cifar10-jpeg75-standard-v1": "cifar10_jpeg75_test.parquet",
    "cifar10-jpeg75-augmix-v1": "cifar10_jpeg75_test.parquet",
    "cifar10-jpeg75-at-v2": "cifar10_jpeg75_test.parquet",
}


@dataclass(frozen=True)
class Outcome:
    """Result of one contestant on one network.

    Attributes:
        robust: per image, whether the network still classifies the attacked image correctly.
        forwards: forward passes per image, mean.
        backwards: backward passes per image, mean.
        seconds: in total.
    """

    robust: list[bool]
    forwards: float
    backwards: float
    seconds: float


Contestant = Callable[[System, Tensor, Tensor, tuple[str, ...], str, float], Outcome]


class _Tick(torch.autograd.Function):
    """Identity that counts the images whose gradient passes through it."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, counter: Counted) -> Tensor:
        """Return x."""
        ctx.counter = counter  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        """Count the images and pass the gradient on."""
        ctx.counter.backwards += grads[0].shape[0]  # type: ignore[attr-defined]
        return grads[0], None


class Counted(nn.Module):
    """A network that counts the images of its forward and backward passes."""

    def __init__(self, system: nn.Module) -> None:
        """Start at zero."""
        super().__init__()
        self.system, self.forwards, self.backwards = system, 0, 0
        # torchattacks restores the mode that it finds here on all submodules.
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        self.forwards += len(x)
        out: Tensor = self.system(_Tick.apply(x, self))
        return out


def ours(make: Callable[[str, float], BallAttack]) -> Contestant:
    """Return a contestant that runs one of this package's attacks."""

    def run(
        system: System, images: Tensor, labels: Tensor, ids: tuple[str, ...], norm: str, eps: float
    ) -> Outcome:
        attack, found, counts = make(norm, eps), [], torch.zeros(2, dtype=torch.int64)
        begin = perf_counter()
        for start in range(0, len(ids), CHUNK):
            part = slice(start, start + CHUNK)
            target = SystemTarget(system, ids[part], Rng(0).at("draw"))
            rows = torch.arange(len(ids[part]))
            found.append(
                attack(target, AttackBatch(images[part], labels[part], ids[part], rows), Rng(0).at("attack"))
            )
            counts += torch.tensor(target.totals)
        seconds = perf_counter() - begin
        forwards, backwards = (counts / len(ids)).tolist()
        return Outcome(_right(system, torch.cat(found), labels), forwards, backwards, seconds)

    return run


def reference(
    system: System, images: Tensor, labels: Tensor, ids: tuple[str, ...], norm: str, eps: float
) -> Outcome:
    """Run the reference AutoAttack, version standard."""
    from pyautoattack import AutoAttack as Theirs

    counted = Counted(system)
    attack = Theirs(counted, norm={"linf": "Linf", "l2": "L2"}[norm], eps=eps, seed=0, version="standard")
    begin = perf_counter()
    found, _ = attack.run_standard_evaluation(images, labels, batch_size=CHUNK)
    return _outcome(system, counted, found, labels, perf_counter() - begin)


def torchattacks_pgd(
    system: System, images: Tensor, labels: Tensor, ids: tuple[str, ...], norm: str, eps: float
) -> Outcome:
    """Run PGD-10 of torchattacks."""
    import torchattacks

    counted = Counted(system)
    torch.manual_seed(0)  # noqa: TID251 the peer draws from the global generator
    if norm == "linf":
        attack = torchattacks.PGD(counted, eps=eps, alpha=eps / 4, steps=10)
    else:
        attack = torchattacks.PGDL2(counted, eps=eps, alpha=eps / 4, steps=10)
    begin = perf_counter()
    parts = [slice(start, start + CHUNK) for start in range(0, len(ids), CHUNK)]
    found = torch.cat([attack(images[part], labels[part]) for part in parts])
    return _outcome(system, counted, found, labels, perf_counter() - begin)


def _outcome(system: System, counted: Counted, found: Tensor, labels: Tensor, seconds: float) -> Outcome:
    n = len(labels)
    return Outcome(
        _right(system, found.detach(), labels), counted.forwards / n, counted.backwards / n, seconds
    )


def _right(system: System, images: Tensor, labels: Tensor) -> list[bool]:
    with torch.no_grad():
        parts = [system(images[i : i + CHUNK]).argmax(1) for i in range(0, len(images), CHUNK)]
    right: list[bool] = (torch.cat(parts) == labels).tolist()
    return right


CONTESTANTS: dict[str, Contestant] = {
    "torchattacks PGD-10": torchattacks_pgd,
    "PGD-10": ours(lambda norm, eps: PGD(norm=norm, eps=eps, steps=10, step_size=eps / 4 or None)),  # type: ignore[arg-type]
    "swift": ours(lambda norm, eps: Swift(norm=norm, eps=eps)),  # type: ignore[arg-type]
    "pyautoattack": reference,
    "AutoAttack": ours(lambda norm, eps: AutoAttack(norm=norm, eps=eps)),  # type: ignore[arg-type]
}


def load(weights: str, path: str, take: int) -> tuple[System, Tensor, Tensor, tuple[str, ...]]:
    """Return the network, images, labels and ids."""
    source = Parquet(path=path, take=take)
    samples = [s for s in source.read(source.index().entries) if isinstance(s, Sample)]
    images = to_tensor([s.image for s in samples])
    labels = torch.tensor([s.truth for s in samples])
    system = chain(CLASSIFIERS.parse({"kind": "preact_resnet", "weights": weights})).build()
    for parameter in system.parameters():
        parameter.requires_grad_(False)
    return system, images, labels, tuple(s.id for s in samples)


def table(folder: Path) -> str:
    """Return what has been measured as a Markdown table."""
    lines = [
        "| network | ball | attack | robust accuracy | images that differ from the reference | forwards "
        "| backwards | evaluations, of the reference's | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for network in NETWORKS:
        for norm, eps in RADII.items():
            known = {name: _read(folder, network, norm, name) for name in CONTESTANTS}
            base = known["pyautoattack"]
            for name, found in known.items():
                if found is None:
                    continue
                differ, share = "", ""
                if base is not None:
                    differ = str(int((np.array(found.robust) != np.array(base.robust)).sum()))
                    cost = found.forwards + found.backwards
                    share = f"{100 * cost / (base.forwards + base.backwards):.1f} %"
                radius = f"{norm} {eps * 255:.0f}/255" if norm == "linf" else f"{norm} {eps}"
                lines.append(
                    f"| {network} | {radius} | {name} | {100 * np.mean(found.robust):.2f} % | {differ} "
                    f"| {found.forwards:.0f} | {found.backwards:.0f} | {share} | {found.seconds:.0f} |"
                )
    return "\n".join(lines)


def _path(folder: Path, network: str, norm: str, name: str) -> Path:
    return folder / f"{network}-{norm}-{name.replace(' ', '_')}.json"


def _read(folder: Path, network: str, norm: str, name: str) -> Outcome | None:
    path = _path(folder, network, norm, name)
    return Outcome(**json.loads(path.read_text())) if path.exists() else None


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-attacks"))
    parser.add_argument("--take", type=int, default=256, help="images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--norms", nargs="*", default=list(RADII))
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS))
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    told.out.mkdir(parents=True, exist_ok=True)
    for network in told.networks:
        loaded = None
        for norm in told.norms:
            for name in told.only:
                if _read(told.out, network, norm, name) is None:
                    loaded = loaded or load(network, NETWORKS[network], told.take)
                    found = CONTESTANTS[name](*loaded, norm, RADII[norm])
                    text = json.dumps(asdict(found))
                    replace_file(_path(told.out, network, norm, name), text.encode())
                    print(
                        network,
                        norm,
                        name,
                        f"{np.mean(found.robust):.4f}",
                        f"{found.seconds:.0f} s",
                        flush=True,
                    )
    print(table(told.out))


if __name__ == "__main__":
    main()
