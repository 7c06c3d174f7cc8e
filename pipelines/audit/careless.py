"""What an attacker who does not know the parts would report, against one who does, on a few images."""

from __future__ import annotations

import torch

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import kind_of
from clearsight.defend.attacks.pgd import PGD
from clearsight.defend.target import AttackBatch
from clearsight.pipelines.audit.derive import Threat
from clearsight.pipelines.audit.probes import ProbeImages, masked, target_of
from clearsight.pipelines.checks.attack_record import points
from clearsight.pipelines.evaluation.attack_batch import majority
from clearsight.pipelines.runs.summary import Check
from clearsight.pipelines.systems.gradient_paths import Path
from clearsight.pipelines.systems.system import System

STEPS = 20
GAP = 0.1
"""Share of images by which the careless attacker must do worse before it is called masking."""


class OneDraw(Rng):
    """A stream that gives every draw of an image the same numbers: an attacker who sees one draw only."""

    def at(self, *names: str | int | float) -> Rng:
        """Return the stream of the image, whichever draw is asked for."""
        return Rng(self.seed, (*self.path, str(names[0])))


def careless(system: System, images: ProbeImages, threat: Threat, path: Path) -> Check | None:
    """Attack by PGD through the raw gradient and one draw, and again through stand-ins and many draws.

    None where there is nothing to be careless about: every gradient is exact and nothing is random.
    """
    why = masked(system, path)
    if not why:
        return None
    blind = _left(system, images, threat, OneDraw(0, ("audit",)), eot=1, path=None)
    knowing = _left(system, images, threat, Rng(0).at("audit"), eot=10, path=path)
    parts = ", ".join(f"'{name}' ({how})" for name, how in why.items())
    what = (
        f"of {len(images.ids)} images {points(blind)} survive PGD through the raw gradient, "
        f"{points(knowing)} survive one that knows {parts}"
    )
    if blind - knowing <= GAP:
        return Check("careless", "fine", blind - knowing, f"Nothing is masked: {what}.")
    words = (
        f"The gradient is masked: {what}; quote figures of 'threat: adaptive', 'through: bpda' and eot only."
    )
    return Check("careless", "unreliable", blind - knowing, words)


def _left(
    system: System, images: ProbeImages, threat: Threat, rng: Rng, *, eot: int, path: Path | None
) -> float:
    attack = PGD(norm=threat.norm, eps=threat.eps, steps=STEPS)
    target = target_of(system, images, rng, eot=eot, path=path)
    rows = torch.arange(len(images.ids))
    batch = AttackBatch(images.images, images.labels, images.ids, rows)
    found = attack(target, batch, Rng(0).at("audit", kind_of(attack)))
    with torch.no_grad():
        draws = 20 if system.stochastic else 1
        votes = majority(system, found, images.ids, seed=0, draws=draws)
    return float((votes == images.labels).float().mean())
