"""Structural probes: what a system does to a few images, before anything attacks it in earnest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clearsight.data.contract.errors import AttackError
from clearsight.data.contract.rng import Rng
from clearsight.data.finite import refuse_non_finite
from clearsight.defend.search.balls import project, steepest_direction
from clearsight.defend.search.losses import margin
from clearsight.pipelines.audit.derive import Threat, blocked
from clearsight.pipelines.audit.part_probes import part_gradients
from clearsight.pipelines.checks.attack_record import points
from clearsight.pipelines.checks.single import DEAD, SPARSE
from clearsight.pipelines.runs.summary import Check, CheckVerdict
from clearsight.pipelines.systems.behaviour import (
    EQUAL,
    Compute,
    are_probabilities,
    change_between_calls,
    change_in_company,
    off_one,
)
from clearsight.pipelines.systems.gradient_paths import Path, find_path
from clearsight.pipelines.systems.graph import OUT
from clearsight.pipelines.systems.system import System
from clearsight.pipelines.systems.target import SystemTarget


@dataclass(frozen=True)
class ProbeImages:
    """A few images of one size.

    Attributes:
        images: (n, c, h, w) in [0, 1].
        labels: (n,).
        ids: names.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]

    def streams(self, draw: int = 0) -> list[Rng]:
        """Return one random stream an image."""
        return [Rng(0).at("audit", name, draw) for name in self.ids]


@dataclass(frozen=True)
class Probed:
    """What the probes of one system found.

    Attributes:
        checks: the findings.
        path: how gradients go through its parts; None where none goes through.
        classes: number of logits.
    """

    checks: tuple[Check, ...]
    path: Path | None
    classes: int


def probe(system: System, images: ProbeImages, threat: Threat) -> Probed:
    """Run every probe on a system in eval mode."""
    checks = [_probabilities(system, images), _batch_dependent(system, images)]
    checks += [_random_outputs(system, images)]
    path, trouble = _path(system, images)
    if trouble:
        checks.append(trouble)
    if path is not None:
        checks += part_gradients(system, images.images, images.streams(), path)
        checks += [_system_gradient(system, images, path), _along(system, images, path, threat)]
    return Probed(tuple(checks), path, _logits(system, images).shape[1])


def _logits(system: System, images: ProbeImages, draw: int = 0) -> Tensor:
    streams = images.streams(draw) if system.stochastic else None
    with torch.no_grad():
        logits = system.trace(images.images, streams=streams)[OUT].float()
    refuse_non_finite(logits, "the logits are", images.ids)
    return logits


def _probabilities(system: System, images: ProbeImages) -> Check:
    outputs = _logits(system, images)
    off = off_one(outputs)
    if not are_probabilities(outputs):
        return Check("outputs_probabilities", "fine", off, "The outputs are logits.")
    words = (
        "The outputs are probabilities (each row sums to 1): a softmax of them flattens the loss and its "
        "gradient; let the classifier return logits."
    )
    return Check("outputs_probabilities", "suspect", off, words)


def _batch_dependent(system: System, images: ProbeImages) -> Check:
    compute, count = _compute(system, images), len(images.ids)
    change = change_in_company(compute, count)
    if change <= EQUAL:
        words = "An image's output is the same alone, in a batch and in another order."
        return Check("batch_dependent", "fine", change, words)
    if change_between_calls(compute, count) > EQUAL:
        words = "Whether outputs depend on the batch cannot be said: they differ from call to call."
        return Check("batch_dependent", "suspect", change, words)
    words = (
        "An image's output depends on the images beside it: put the networks in eval mode and take no "
        "statistics over the batch, for an attack on such a system proves nothing."
    )
    return Check("batch_dependent", "unreliable", change, words)


def _compute(system: System, images: ProbeImages) -> Compute:
    return lambda places: _logits(system, _only(images, places))


def _only(images: ProbeImages, chosen: Sequence[int]) -> ProbeImages:
    index = torch.tensor(list(chosen))
    ids = tuple(images.ids[i] for i in chosen)
    return ProbeImages(images.images[index], images.labels[index], ids)


def _random_outputs(system: System, images: ProbeImages) -> Check:
    change = change_between_calls(_compute(system, images), len(images.ids), calls=4)
    if not system.stochastic:
        if change <= EQUAL:
            return Check("random_outputs", "fine", change, "Equal images get equal outputs.")
        words = (
            "Equal images get different outputs, yet no part is declared stochastic: declare the random "
            "part (stochastic = True, randomized), so that attacks average over its draws."
        )
        return Check("random_outputs", "unreliable", change, words)
    if change > EQUAL:
        words = (
            "A random part does not repeat its draws when it is given the same stream: draw from it alone."
        )
        return Check("random_outputs", "unreliable", change, words)
    first = _logits(system, images)
    changed = [(_logits(system, images, k).argmax(1) != first.argmax(1)).float().mean() for k in range(1, 6)]
    share = float(torch.stack(changed).mean())
    words = (
        f"Random parts are declared and repeat with their streams; a fresh draw changes {points(share)} of "
        "the predictions, so attacks average over draws and a vote decides."
    )
    return Check("random_outputs", "fine", share, words)


def _path(system: System, images: ProbeImages) -> tuple[Path | None, Check | None]:
    """Return the gradient path of an adaptive attacker; or None, and why."""
    if (part := blocked(system.graph)) is not None:
        words = (
            f"Part '{part}' lets no gradient through and declares no surrogate: no white-box attack can be "
            "made, so whatever robustness shows is not measured; give it a surrogate."
        )
        return None, Check("part_gradients", "unreliable", None, words)
    try:
        return find_path(system, images.images), None
    except AttackError as error:
        words = f"No gradient comes through: {error.what}. {error.hint[:1].upper()}{error.hint[1:]}."
        return None, Check("part_gradients", "unreliable", None, words)


def target_of(system: System, images: ProbeImages, rng: Rng, *, eot: int, path: Path | None) -> SystemTarget:
    """Return the view of an attacker; without a path, it goes through the raw gradient."""
    stand_ins = path.stand_ins if path else {}
    return SystemTarget(system, images.ids, rng, eot=eot, stand_ins=stand_ins)


def _system_gradient(system: System, images: ProbeImages, path: Path) -> Check:
    target = target_of(system, images, Rng(0).at("audit"), eot=4, path=path)
    rows = torch.arange(len(images.ids))
    target.gradient(images.images, rows, margin(images.labels))
    share = float(target.zero.mean())
    verdict: CheckVerdict = "fine" if share <= SPARSE else "suspect" if share <= DEAD else "unreliable"
    words = f"{points(share)} of the gradient of the whole system is zero or not finite"
    if verdict == "fine":
        return Check("system_gradient", verdict, share, f"{words}.")
    return Check(
        "system_gradient", verdict, share, f"{words}: find the part that hides it (clamps, rounding)."
    )


def _along(system: System, images: ProbeImages, path: Path, threat: Threat) -> Check:
    """Step along the gradient, by the whole radius and by a quarter: does the margin move?"""
    streams = images.streams() if system.stochastic else None
    leaf = images.images.clone().requires_grad_(True)
    raised = margin(images.labels)
    with torch.enable_grad():
        before = raised(system.trace(leaf, streams=streams, stand_ins=path.stand_ins)[OUT].float())
        (gradient,) = torch.autograd.grad(before.sum(), leaf)
    best = torch.full_like(before.detach(), -torch.inf)
    direction = steepest_direction(gradient.nan_to_num(0.0, 0.0, 0.0), threat.norm, x=images.images)  # type: ignore[arg-type]
    for length in (threat.eps, threat.eps / 4.0):
        moved = project(images.images + length * direction, images.images, threat.norm, length)  # type: ignore[arg-type]
        with torch.no_grad():
            best = torch.maximum(best, raised(system.trace(moved, streams=streams)[OUT].float()))
    share = float((best > before.detach()).float().mean())
    if share >= 0.9:
        words = f"A step along the gradient brings {points(share)} of the images nearer to a mistake."
        return Check("loss_along_gradient", "fine", share, words)
    verdict: CheckVerdict = "suspect" if share >= 0.5 else "unreliable"
    words = (
        f"A step along the gradient brings only {points(share)} of the images nearer to a mistake: it does "
        "not say where the loss rises, so gradient attacks understate what an attacker can do."
    )
    return Check("loss_along_gradient", verdict, share, words)


def masked(system: System, path: Path) -> Mapping[str, str]:
    """Return the parts (name -> why) that an attacker who does not know them would stumble over."""
    why: dict[str, str] = {}
    for name, spec in system.graph.parts.items():
        if spec.stochastic:
            why[name] = "random"
        elif name in path.broken:
            why[name] = "gradient broken"
        elif path.how[name] != "exact":
            why[name] = path.how[name]
    return why
