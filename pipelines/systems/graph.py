"""`Graph`: the frozen description of a system, a DAG of parts from ``image`` to ``out``. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.estimator import Estimator
from clearsight.data.contract.spec import Flow, PartSpec, Spec, content_key
from clearsight.defend.calibrator_base import CalibratorSpec
from clearsight.defend.conformal_base import ConformalSpec

if TYPE_CHECKING:
    from clearsight.pipelines.systems.system import System

IMAGE, OUT = "image", "out"


class Node(Spec):
    """One step of a graph."""

    use: str
    """Name of the part."""
    of: str | tuple[str, ...] = IMAGE
    """Name of the node, or nodes, whose output goes in; ``image`` is the image that enters."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs."""
        return (self.of,) if isinstance(self.of, str) else self.of


@dataclass(frozen=True)
class Step:
    """A node with its part, in an order in which it can be computed."""

    name: str
    part_name: str
    spec: PartSpec
    inputs: tuple[str, ...]
    gives: Flow


@dataclass(frozen=True)
class Graph:
    """A checked system.

    Attributes:
        steps: in computing order; the last one is the output.
        beside: computed after them: the detector of attacked images, if there is one.
    """

    steps: tuple[Step, ...]
    beside: tuple[Step, ...] = ()

    @property
    def gives(self) -> Flow:
        """Return what the system puts out: logits, or images where it has no classifier."""
        return self.steps[-1].gives

    @property
    def screen(self) -> str | None:
        """Return the name of the node that says how suspicious an image is, None where there is none."""
        return self.beside[0].name if self.beside else None

    @property
    def every_step(self) -> tuple[Step, ...]:
        """Return all steps in computing order, the detector's among them."""
        return (*self.steps, *self.beside)

    def unscreened(self) -> Graph:
        """Return the graph without its detector and the nodes that lead to it alone."""
        return _on_the_way(self.steps) if self.beside else self

    @property
    def restored(self) -> str | None:
        """Return the name of the last image on the way to the output, None where nothing is restored."""
        return next((step.name for step in reversed(self.steps) if step.gives is Flow.IMAGES), None)

    @property
    def unrestored(self) -> Graph | None:
        """Return what is left where every image on the way is the one that enters: the classifier alone.

        None where nothing is classified, or nothing is restored before it.
        """
        if self.gives is not Flow.LOGITS or self.restored is None:
            return None
        images = {step.name for step in self.steps if step.gives is Flow.IMAGES}
        return _on_the_way(
            [
                replace(step, inputs=tuple(IMAGE if name in images else name for name in step.inputs))
                for step in self.steps
            ]
        )

    @property
    def classifiers(self) -> tuple[PartSpec, ...]:
        """Return the parts in use that turn images into logits."""
        return tuple(
            spec
            for spec in self.parts.values()
            if spec.gives is Flow.LOGITS and spec.takes == (Flow.IMAGES,) and not spec.variadic
        )

    @property
    def parts(self) -> dict[str, PartSpec]:
        """Return the parts in use by name."""
        return {step.part_name: step.spec for step in self.every_step}

    def fingerprint(self) -> str:
        """Return a key of everything that decides the output: parts, weights and wiring, not the names."""
        number = {IMAGE: 0} | {step.name: i for i, step in enumerate(self.every_step, 1)}
        wired = [
            [step.spec.fingerprint(), [number[name] for name in step.inputs]] for step in self.every_step
        ]
        return content_key([*wired, "beside"] if self.beside else wired)

    def step_keys(self) -> dict[str, str]:
        """Return, by step name, keys of everything that decides a step's output for given images.

        Steps that draw random numbers or look at the images beside an image, which may keep a state, have
        none; nor have those behind them.
        """
        keys = {IMAGE: IMAGE}
        for step in self.every_step:
            alike = not (step.spec.stochastic or step.spec.batch_dependent)
            if alike and all(name in keys for name in step.inputs):
                keys[step.name] = content_key([step.spec.fingerprint(), [keys[name] for name in step.inputs]])
        del keys[IMAGE]
        return keys

    def behind(self, name: str) -> frozenset[str]:
        """Return keys of the classifiers whose output reaches the node called ``name``; see `network_key`."""
        steps = {step.name: step for step in self.steps}
        reached, waiting = set(), list(steps[name].inputs)
        while waiting:
            if (source := waiting.pop()) != IMAGE and source not in reached:
                reached.add(source)
                waiting += steps[source].inputs
        return frozenset(
            network_key(steps[each].spec) for each in reached if steps[each].spec in self.classifiers
        )

    def content(self, steps: int | None = None) -> str:
        """Return a key of networks and wiring, whatever weights and nodes are called.

        Args:
            steps: how many of the first steps; left out: all.
        """
        number = {IMAGE: 0} | {step.name: i for i, step in enumerate(self.steps, 1)}
        return content_key(
            [[network_key(step.spec), [number[name] for name in step.inputs]] for step in self.steps[:steps]]
        )

    def ready(self) -> None:
        """Raise `ClearsightError` unless each fitted part stands behind the classifiers it was fitted behind.

        Raises:
            ConfigError: a part was fitted to the output of other classifiers, and would distort this one.
        """
        for step in self.steps:
            told = step.spec.behind() if isinstance(step.spec, Estimator) else None
            if told is not None and told != self.behind(step.name):
                raise ConfigError(
                    f"'{step.spec.weights}' was fitted behind another classifier than the one before it",
                    where=f"part '{step.part_name}'",
                    hint="fit it again with 'clearsight fit', behind this one",
                )

    def describe(self) -> str:
        """Return a line such as ``image → denoise → classify``."""
        if all(len(s.inputs) == 1 for s in self.steps) and self._is_chain():
            return " → ".join([IMAGE, *(step.part_name for step in self.steps)])
        return "; ".join(f"{s.name} = {s.part_name}({', '.join(s.inputs)})" for s in self.every_step)

    def _is_chain(self) -> bool:
        if self.beside:
            return False
        before = [IMAGE, *(step.name for step in self.steps)]
        return all(step.inputs[0] == previous for step, previous in zip(self.steps, before, strict=False))

    def build(self) -> System:
        """Return the torch module, with all weights loaded, in eval mode."""
        from clearsight.pipelines.systems.system import System

        return System(self)


def network_key(spec: PartSpec) -> str:
    """Return a key of the network, the same whatever its weights are called here."""
    from clearsight.data.weights import find

    return spec.fingerprint() if spec.weights is None else content_key([spec.name, find(spec.weights).sha256])


def chain(*parts: PartSpec) -> Graph:
    """Return the system that sends an image through the parts, one after the other.

    Raises:
        ConfigError: a part cannot take what the one before it gives.
    """
    names = [f"{i}_{part.name}" for i, part in enumerate(parts)]
    return wire(names, dict(zip(names, parts, strict=True)))


def gated_chain(
    restorers: Sequence[str], classifier: str, gate: str | None, *, gives: Flow = Flow.IMAGES
) -> dict[str, dict[str, Any]]:
    """Return the nodes of a classifier behind restorers, as a config writes them.

    Args:
        restorers: names of parts, in order, each once.
        classifier: name of the part.
        gate: name of the part that takes the untouched and the restored version; None for none.
        gives: what the gate chooses between: the two images, or the logits of both.
    """
    nodes: dict[str, dict[str, Any]] = {}
    last = IMAGE
    for restorer in restorers:
        nodes[restorer] = {"use": restorer, "of": last}
        last = restorer
    if gate is None:
        nodes[OUT] = {"use": classifier, "of": last}
    elif gives is Flow.IMAGES:
        nodes[gate] = {"use": gate, "of": [IMAGE, last]}
        nodes[OUT] = {"use": classifier, "of": gate}
    else:
        nodes["untouched"] = {"use": classifier, "of": IMAGE}
        nodes["restored"] = {"use": classifier, "of": last}
        nodes[OUT] = {"use": gate, "of": ["untouched", "restored"]}
    return nodes


def wire(nodes: Sequence[str] | Mapping[str, Node], parts: Mapping[str, PartSpec]) -> Graph:
    """Return the checked graph of a config's system.

    Args:
        nodes: part names in order (a chain), or node name -> `Node` (any graph, whose output is ``out``).
        parts: part name -> spec.

    Raises:
        ConfigError: unknown names, a cycle, a missing ``out``, or types that do not fit.
    """
    if not nodes:
        raise ConfigError("a system needs at least one part")
    named = _unroll(nodes) if not isinstance(nodes, Mapping) else dict(nodes)
    for name, node in named.items():
        if name == IMAGE:
            raise ConfigError(f"'{IMAGE}' is the image that enters; call the node something else")
        if node.use not in parts:
            raise ConfigError(f"no part '{node.use}'", hint=near_miss(node.use, parts))
        for source in node.inputs:
            if source != IMAGE and source not in named:
                raise ConfigError(
                    f"node '{name}' is fed by '{source}', which is not there", hint=near_miss(source, named)
                )
    order = _order(named, parts)
    flows: dict[str, Flow] = {IMAGE: Flow.IMAGES}
    steps: list[Step] = []
    for name in order:
        node = named[name]
        spec = parts[node.use]
        _check_inputs(name, spec, [flows[source] for source in node.inputs])
        flows[name] = spec.gives
        steps.append(Step(name, node.use, spec, node.inputs, flows[name]))
        _check_place(steps)
    return _divided(steps)


def _check_place(steps: Sequence[Step]) -> None:
    """Refuse a last step that is fitted for another place."""
    *before, step = steps
    where = f"node '{step.name}'"
    if isinstance(step.spec, ConformalSpec) and step.name != OUT:
        raise ConfigError(
            f"part '{step.part_name}' gives sets beside its logits, which nothing behind it passes on",
            where=where,
            hint="put it at the end of the system",
        )
    if isinstance(step.spec, CalibratorSpec) and (wrong := step.spec.misplaced([s.spec for s in before])):
        raise ConfigError(f"part '{step.part_name}' is at the wrong place: {wrong}", where=where)


def _on_the_way(steps: Sequence[Step]) -> Graph:
    """Return the graph of the steps that the last one needs."""
    needed = {steps[-1].name}
    for step in reversed(steps):
        if step.name in needed:
            needed |= set(step.inputs)
    return Graph(tuple(step for step in steps if step.name in needed))


def _divided(steps: Sequence[Step]) -> Graph:
    """Return the graph of steps in computing order, whose last one may stand beside the output."""
    *before, last = steps
    if last.gives is not Flow.SCORE:
        return Graph(tuple(steps))
    if last.name == OUT:
        raise ConfigError(
            f"part '{last.part_name}' says how suspicious an image is, which is no output of its own",
            hint="write the system as a graph: 'out' is the classifier, the detector a node beside it",
        )
    return Graph(tuple(before), (last,))


def _unroll(names: Sequence[str]) -> dict[str, Node]:
    out: dict[str, Node] = {}
    previous = IMAGE
    for i, use in enumerate(names):
        name = OUT if i == len(names) - 1 else (use if use not in (*out, OUT) else f"{use}_{i}")
        out[name] = Node(use=use, of=previous)
        previous = name
    return out


def _order(named: Mapping[str, Node], parts: Mapping[str, PartSpec]) -> list[str]:
    if OUT not in named:
        raise ConfigError(f"no node is called '{OUT}': that one is the system's output")
    try:
        sorter = TopologicalSorter({name: set(node.inputs) - {IMAGE} for name, node in named.items()})
        order = list(sorter.static_order())
    except CycleError as error:
        raise ConfigError(f"the graph runs in a circle: {' → '.join(error.args[1])}") from None
    screens = [name for name in order if parts[named[name].use].gives is Flow.SCORE]
    if len(screens) > 1:
        raise ConfigError(
            f"nodes '{screens[0]}' and '{screens[1]}' both say how suspicious an image is",
            hint="a system has one detector; make two systems",
        )
    needed = {OUT, *screens}
    for name in reversed(order):
        if name in needed:
            needed |= set(named[name].inputs)
    if idle := [name for name in named if name not in needed]:
        raise ConfigError(f"nothing uses node '{idle[0]}'", hint=f"feed it to '{OUT}', or take it out")
    # The output comes last even where other nodes are free to follow it, and then what stands beside it.
    return [*(name for name in order if name not in (OUT, *screens)), OUT, *(s for s in screens if s != OUT)]


def _check_inputs(name: str, spec: PartSpec, inputs: Sequence[Flow]) -> None:
    takes = spec.takes * len(inputs) if spec.variadic else spec.takes
    if len(inputs) != len(takes):
        expected = "one input" if len(takes) == 1 else f"{len(takes)} inputs"
        raise ConfigError(f"node '{name}': part '{spec.name}' takes {expected}, got {len(inputs)}")
    for flow, wanted in zip(inputs, takes, strict=True):
        if flow is not wanted:
            raise ConfigError(f"node '{name}': part '{spec.name}' takes {wanted}, but is fed {flow}")
