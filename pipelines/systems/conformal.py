"""The sets of classes that a system gives beside its logits, where it ends in a conformal part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clearsight.data.contract.rng import Rng
from clearsight.defend.conformal_base import ConformalSpec

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.pipelines.systems.graph import Graph
    from clearsight.pipelines.systems.system import System


def conformal(graph: Graph) -> ConformalSpec | None:
    """Return the conformal part that a system ends in, if it does."""
    spec = graph.steps[-1].spec
    return spec if isinstance(spec, ConformalSpec) else None


def sets_of(system: System, logits: Tensor, ids: Sequence[str], seed: int) -> Tensor | None:
    """Return the sets, bool (n, classes), or None where the system gives none.

    Args:
        system: with its weights.
        logits: (n, classes), what it gave.
        ids: of the images; randomised sets are a function of seed and id.
        seed: root of the draws.
    """
    import torch

    spec = conformal(system.graph)
    if spec is None:
        return None
    part = system.part(system.graph.steps[-1].part_name)
    draws = None
    if part.spec.drawn():
        drawn = [Rng(seed).at("sets", name).numpy().random() for name in ids]
        draws = torch.tensor(drawn, dtype=torch.float64, device=logits.device)
    found: Tensor = part.spec.sets(logits, dict(part.named_buffers()), draws)
    return found
