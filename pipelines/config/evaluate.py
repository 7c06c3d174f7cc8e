"""`Evaluate`: the configuration of ``task: evaluate``, as YAML and as a Python object."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ConfigError, near_miss
from clearsight.data.contract.registry import Choice
from clearsight.data.contract.spec import Flow, PartSpec, Spec, content_key
from clearsight.data.executors.resources import Resources
from clearsight.data.sources.base import Source
from clearsight.defend.attacks.base import Attack
from clearsight.defend.attacks.none import NoAttack
from clearsight.defend.catalogue import ATTACKS, CERTIFICATES
from clearsight.defend.certify.base import Certificate
from clearsight.pipelines.config.conditions import Condition, ConditionNode, Corrupting, expand
from clearsight.pipelines.config.registries import METRICS, PARTS
from clearsight.pipelines.config.stop import Stop
from clearsight.pipelines.config.tasks import Name, Task
from clearsight.pipelines.metrics.base import Metric
from clearsight.pipelines.systems.graph import Graph, Node, wire
from clearsight.pipelines.systems.precision import Precision
from clearsight.pipelines.utility.names import FLOWS, UtilityName

DIGITS = 12
"""Digits of a digest that a reader may compare by eye."""


class Measure(Spec):
    """A product of conditions with attacks and certificates, to be measured for every system (or some)."""

    conditions: tuple[str, ...]
    """Names from ``conditions``."""
    attacks: tuple[str, ...] = ("none",)
    """Names from ``attacks``."""
    certify: tuple[str, ...] = ()
    """Names from ``certify``."""
    systems: tuple[str, ...] | None = None
    """Names from ``systems``; all where left out."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures; an empty ``certify`` is left out, so that older keys stay."""
        return {name: value for name, value in super().identity().items() if name != "certify" or value}


class Compare(Spec):
    """Paired comparison of all systems with one of them."""

    baseline: str
    """Name of the system that the others are compared with."""


def _no_attack() -> dict[str, Attack]:
    return {"none": NoAttack()}


def _metric(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class _MetricChoice(Choice):
    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            _metric, super().__get_pydantic_core_schema__(source, handler)
        )


class Evaluate(Task):
    """Accuracy (and more) of systems under conditions and attacks."""

    command: ClassVar[str] = "run"

    old_names: ClassVar[dict[str, str]] = {"pictures": "images"}

    task: Literal["evaluate"]
    name: Name
    """Goes into the name of the run folder."""
    title: str = ""
    """Heading of the report."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Root of all random streams."""
    chunk: Annotated[int, Field(ge=1, le=4096)] = 64
    """Images computed together. Part of the key: float results differ a little between batch sizes."""
    data: Annotated[Source, Choice(SOURCES)]
    """Images to measure on."""
    parts: Annotated[dict[Name, Annotated[PartSpec, Choice(PARTS)]], Field(min_length=1)]
    """Restorers, classifiers and fusions by name."""
    systems: Annotated[dict[Name, list[str] | dict[str, Node]], Field(min_length=1)]
    """A list of part names is a chain, a mapping of nodes is any graph with a node ``out``."""
    conditions: Annotated[dict[Name, ConditionNode], Field(min_length=1)]
    """What happens to the images. A list of corruptions is applied in its order."""
    attacks: dict[Name, Annotated[Attack, Choice(ATTACKS)]] = Field(default_factory=_no_attack)
    """Adversaries. ``none: {kind: none}`` is always among them, written or not."""
    certify: dict[Name, Annotated[Certificate, Choice(CERTIFICATES)]] = Field(default_factory=dict)
    """Certificates: lower bounds of robustness, beside the upper ones that attacks give."""
    ood: dict[Name, Annotated[Source, Choice(SOURCES)]] = Field(default_factory=dict)
    """Images of something else (out of distribution), by name, of the size that the systems take: how well
    each score of confidence tells them from the images of ``data``. They need no labels."""
    measure: tuple[Measure, ...] | None = None
    """Products to measure; left out: every condition under every attack and every certificate."""
    utility: UtilityName | None = None
    """What the images are for; left out: what the systems give says it (logits: classification, boxes:
    detection)."""
    metrics: tuple[Annotated[Metric, _MetricChoice(METRICS)], ...] | None = None
    """Left out: accuracy, ece, those of boxes, psnr_in, psnr, ssim, and those of votes and sets, as far as
    there are any."""
    draws: Annotated[int, Field(ge=1, le=1000)] = 20
    """Fresh draws that vote on the class where a system has random parts; accuracy is that of the first."""
    compare: Compare | None = None
    """Left out: no comparison."""
    images: Annotated[int, Field(ge=0, le=20)] = 4
    """Images per condition that are kept for the report."""
    stop: Stop | None = None
    """End each condition as soon as its accuracies are known well enough; left out: never."""
    precision: Precision = "fp32"
    """What networks compute in: ``bf16`` is faster on GPUs and on CPUs with matrix units, and less exact.
    Filters, attacks' steps and figures stay in fp32."""
    resources: Resources | None = None
    """What a chunk of images needs on a Ray cluster (``--on ray``); left out: one CPU."""

    @field_validator("attacks", mode="after")
    @classmethod
    def _none_is_there(cls, value: dict[str, Attack]) -> dict[str, Attack]:
        return value if "none" in value else _no_attack() | value

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        try:
            self._check()
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the figures; unused fields of later versions are left out: older keys stay."""
        unused = ("utility", "resources")
        fields = {name: value for name, value in super().identity().items() if name not in unused}
        later = ("stop", "certify", "ood")
        if self.precision == "fp32":
            del fields["precision"]
        return {name: value for name, value in fields.items() if name not in later or value}

    def source(self) -> Source:
        """Return the images in the order in which they are measured: shuffled where ``stop`` is given."""
        return self.data if self.stop is None else self.data.model_copy(update={"order": "shuffled"})

    def _check(self) -> None:
        if self.stop and self.data.order == "by_class":
            raise ConfigError(
                "needs images in random order: class by class, the first of them are no sample of all",
                where="stop",
                hint="leave data.order out",
            )
        for name in self.systems:
            self._check_utility(name, self._graph(name).gives)
        if self.compare:
            _known("system", self.compare.baseline, self.systems, "compare.baseline")
        for i, block in enumerate(self.measure or ()):
            for noun, names, known in (
                ("condition", block.conditions, self.conditions),
                ("attack", block.attacks, self.attacks),
                ("certificate", block.certify, self.certify),
                ("system", block.systems or (), self.systems),
            ):
                for name in names:
                    _known(noun, name, known, f"measure[{i}]")
        if self.measure is not None:
            measured = {name for block in self.measure for name in block.attacks}
            measured |= {name for each in self.certify.values() for name in each.attacks}
            if unused := [name for name in self.attacks if name not in measured and name != "none"]:
                raise ConfigError(
                    f"the attack '{unused[0]}' is measured nowhere",
                    where="measure",
                    hint="name it in a block, or take it out of 'attacks'",
                )
            certified = {name for block in self.measure for name in block.certify}
            if unused := [name for name in self.certify if name not in certified]:
                raise ConfigError(
                    f"the certificate '{unused[0]}' is measured nowhere",
                    where="measure",
                    hint=f"add 'certify: [{unused[0]}]' to a block, or take it out of 'certify'",
                )
        self._check_certificates()
        self.expanded()

    def _check_utility(self, system: str, gives: Flow) -> None:
        if self.utility is not None and gives not in (FLOWS[self.utility], Flow.IMAGES):
            raise ConfigError(
                f"system '{system}' gives {gives}, which is no {self.utility}",
                where="utility",
                hint="leave 'utility' out, or use other parts",
            )

    def _check_certificates(self) -> None:
        if self.stop and self.certify:
            raise ConfigError(
                "certificates are made of a fixed number of images, so no condition may end early",
                where="stop",
                hint="leave 'stop' out, or certify in a run of its own",
            )
        for name, certificate in self.certify.items():
            if self.precision != "fp32" and certificate.sees == "layers":
                raise ConfigError(
                    f"bounds do not hold for networks that round to {self.precision}",
                    where=f"certificate '{name}'",
                    hint="leave 'precision' out",
                )
            where = f"certify.{name}.attacked_by"
            for attack in certificate.attacks:
                _known("attack", attack, self.attacks, where)
                ball, threat = self.attacks[attack].radius, self.attacks[attack].threat
                if ball is None or ball[0] != certificate.norm or threat != "adaptive":
                    raise ConfigError(
                        f"the attack '{attack}' does not keep to a ball of the certificate's norm"
                        f" ({certificate.norm}), or does not know the whole system",
                        where=where,
                        hint=f"name attacks with 'norm: {certificate.norm}' and 'threat: adaptive'",
                    )

    def _graph(self, name: str) -> Graph:
        try:
            return wire(self.systems[name], self.parts)
        except ConfigError as error:
            raise ConfigError(error.what, where=f"system '{name}'", hint=error.hint) from None

    def graphs(self) -> dict[str, Graph]:
        """Return system name -> checked graph."""
        return {name: self._graph(name) for name in self.systems}

    def expanded(self) -> dict[str, tuple[Condition, ...]]:
        """Return group name -> its conditions; every condition has a unique name."""
        groups: dict[str, tuple[Condition, ...]] = {}
        taken: dict[str, Corrupting] = {}
        for group, node in self.conditions.items():
            conditions = []
            for name, corruption in expand(group, node).items():
                if taken.get(name, corruption) != corruption:
                    name = f"{group}:{name}"
                taken[name] = corruption
                conditions.append(Condition(name=name, group=group, corruption=corruption))
            groups[group] = tuple(conditions)
        return groups

    def digest(self) -> str:
        """Return a digest of the config, its defaults and the revisions of its parts.

        What changes no figure (title, images that are shown) is left out. Documents carry it beside tables.
        """
        fields = {name: entry for name, entry in self.identity().items() if name not in ("title", "images")}
        # What a set or 'each' stands for is not among the fields.
        conditions = [condition for group in self.expanded().values() for condition in group]
        if revised := _revised([condition.corruption.identity() for condition in conditions]):
            fields["revised"] = revised
        return content_key(fields)[:DIGITS]

    def ready(self) -> None:
        """Raise `ClearsightError` unless everything that the config names is available."""
        probes = (*self.attacks.values(), *self.certify.values())
        for spec in (self.data, *self.parts.values(), *probes, *self.ood.values()):
            spec.ready()
        for graph in self.graphs().values():
            graph.ready()
        for group in self.expanded().values():
            for condition in group:
                condition.corruption.ready()

    def blocks(self) -> tuple[Measure, ...]:
        """Return what is to be measured, with the default filled in."""
        names = (tuple(each) for each in (self.conditions, self.attacks, self.certify))
        whole = Measure(**dict(zip(("conditions", "attacks", "certify"), names, strict=True)))
        return self.measure or (whole,)


def _revised(identity: Any) -> dict[str, int]:
    """Return kind -> revision of everything in these identities that was changed since its first revision."""
    found: dict[str, int] = {}
    if isinstance(identity, dict):
        if identity.get("revision", 1) > 1 and "kind" in identity:
            found[str(identity["kind"])] = identity["revision"]
        identity = list(identity.values())
    for each in identity if isinstance(identity, list) else []:
        found |= _revised(each)
    return dict(sorted(found.items()))


def _known(noun: str, name: str, known: Any, where: str) -> None:
    if name not in known:
        raise ConfigError(f"no {noun} '{name}'", where=where, hint=near_miss(name, known))
