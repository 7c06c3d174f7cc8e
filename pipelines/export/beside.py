"""What an exported file says beside the logits: probabilities, conformal sets, abstention, suspicion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.deployed import Output
from clearsight.data.contract.errors import ConfigError
from clearsight.data.contract.spec import Flow, PartSpec
from clearsight.defend.calibrator_base import CalibratorSpec
from clearsight.defend.conformal_base import ConformalSpec
from clearsight.pipelines.systems.graph import OUT

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.data.contract.part import Part
    from clearsight.pipelines.systems.system import System


def draws_sets(spec: PartSpec) -> bool:
    """Return whether a part draws a random number for every set: a file draws nothing."""
    return isinstance(spec, ConformalSpec) and spec.resolved().drawn()


def outputs_beside(system: System, where: str) -> list[tuple[Output, str]]:
    """Return the outputs beside the system's own, each with the node that it comes from.

    Probabilities are among them where a calibrator stands in the system.

    Raises:
        ConfigError: two parts give the same.
    """
    graph = system.graph
    found: list[tuple[Output, str]] = []
    if graph.gives is not Flow.LOGITS:
        return found
    calibrated = False
    for step in graph.steps:
        spec = system.part(step.part_name).spec
        if not isinstance(spec, CalibratorSpec):
            continue
        calibrated = calibrated or not spec.says
        if not spec.says:
            continue
        if any(output.gives == spec.says for output, _ in found):
            raise ConfigError(
                f"node '{step.name}' is the second that gives {spec.says}", where=where, hint="leave one out"
            )
        limit = dict(system.part(step.part_name).named_buffers())["threshold"]
        output = Output(
            spec.says,
            spec.says,
            threshold=float(limit) if spec.says == "abstains" else None,
            about=spec.about(),
        )
        found.append((output, step.name))
    if calibrated:
        found.insert(0, (Output("probabilities", "probabilities"), OUT))
    if graph.screen is not None:
        found.append((Output("suspicion", "suspicion"), graph.screen))
        above: float | None = getattr(_part(system, graph.screen).spec, "threshold", None)
        if above is not None:
            found.append((Output("alarm", "alarm", threshold=above), graph.screen))
    return found


def value_beside(system: System, values: Mapping[str, Tensor], output: Output, node: str) -> Tensor:
    """Return the value of an output beside the system's own.

    Args:
        system: built.
        values: what `System.trace` returned.
        output: one of `outputs_beside`.
        node: that it comes from.
    """
    if output.gives == "probabilities":
        return values[node].softmax(1)
    if output.gives == "suspicion":
        return values[node]
    if output.gives == "alarm" and output.threshold is not None:
        return values[node] > output.threshold
    part = _part(system, node)
    found: Tensor = part.spec.aside(values[node], dict(part.named_buffers()))
    return found


def _part(system: System, node: str) -> Part[Any]:
    return system.part(next(step for step in system.graph.every_step if step.name == node).part_name)
