"""Is the gradient that a part claims its true one? One finding a part."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from clearsight.data.contract.rng import Rng
from clearsight.data.contract.spec import Gradient
from clearsight.pipelines.checks.attack_record import points
from clearsight.pipelines.checks.single import HONEST, SPARSE
from clearsight.pipelines.runs.summary import Check, CheckVerdict
from clearsight.pipelines.systems.gradient_paths import Path
from clearsight.pipelines.systems.slopes import GradientAgreement, slopes
from clearsight.pipelines.systems.system import System


def part_gradients(system: System, images: Tensor, streams: Sequence[Rng], path: Path) -> list[Check]:
    """Return one check for each part that claims an exact gradient, and for each with a surrogate."""
    measured = slopes(system, images, streams, path)
    out: list[Check] = []
    seen: set[str] = set()
    for step in system.graph.steps:
        name = step.part_name
        if name in seen:
            continue
        seen.add(name)
        if name in path.broken:
            words = (
                f"Part '{name}' claims an exact gradient and has none (it detaches, rounds or saturates): "
                f"attacks pass it by the {path.how[name]}, which tells little: {HONEST}."
            )
            out.append(Check("part_gradients", "unreliable", 1.0, words))
        elif name in measured:
            out.append(_exact(name, measured[name]))
        elif step.spec.gradient is Gradient.SURROGATE:
            words = f"Part '{name}' has no gradient of its own and says so; attacks pass it by its surrogate."
            out.append(Check("part_gradients", "fine", None, words))
    return out


def _exact(name: str, slope: GradientAgreement) -> Check:
    if not slope.true:
        words = (
            f"The gradient of part '{name}' is not its slope: by finite differences the output changes "
            f"{slope.ratio:.2f} times as much along it as it claims, and {points(slope.apart)} of what "
            f"changes across it is missing. It is falsified: {HONEST}."
        )
        return Check("part_gradients", "unreliable", slope.ratio, words)
    verdict: CheckVerdict = "fine" if slope.zeros <= SPARSE else "suspect"
    words = f"The gradient of part '{name}' agrees with finite differences (ratio {slope.ratio:.2f})"
    if verdict == "fine":
        return Check("part_gradients", verdict, slope.ratio, f"{words}.")
    words += f", but {points(slope.zeros)} of it is zero: the part saturates; add a surrogate and compare."
    return Check("part_gradients", verdict, slope.zeros, words)
