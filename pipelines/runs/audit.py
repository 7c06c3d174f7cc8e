"""What an audit found: the contents of ``audit.json``, as the audit writes it and the report reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.runs.stored import from_plain, to_plain
from clearsight.pipelines.runs.summary import Check

SCHEMA = 1
AuditVerdict = Literal["trustworthy", "unreliable"]


@dataclass(frozen=True)
class AuditCheck(Check):
    """A check of an attack on the system, or with ``attack`` None of the system itself."""

    attack: str | None = None


@dataclass(frozen=True)
class AuditedSystem:
    """The verdict on one system, with its accuracies.

    Attributes:
        system: its name.
        verdict: ``unreliable`` where any check says so.
        undefended: name of the same system without its restorers; None where it has none.
        clean: without an attack.
        worst: in the worst case over all attacks.
        oblivious: the highest under attacks that do not know the restorers.
        undefended_worst: the worst case of `undefended`.
        checks: every check.
    """

    system: str
    verdict: AuditVerdict
    undefended: str | None
    clean: Estimate
    worst: Estimate | None
    oblivious: Estimate | None
    undefended_worst: Estimate | None
    checks: list[AuditCheck] = field(default_factory=list)


@dataclass(frozen=True)
class AuditSummary:
    """The contents of ``audit.json``: norm and radius of the attacks, the images, and the systems."""

    schema: int
    verdict: AuditVerdict
    norm: str
    eps: float
    images: int
    systems: list[AuditedSystem]

    @property
    def trustworthy(self) -> bool:
        """Return whether no check condemned any system."""
        return self.verdict == "trustworthy"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as the file holds it."""
        return to_plain(self)


def parse_audit(content: Mapping[str, Any]) -> AuditSummary:
    """Return what ``audit.json`` holds.

    Raises:
        RunError: it has another schema, or lacks what an audit must have.
    """
    return from_plain(AuditSummary, content, noun="audit", schema=SCHEMA, again="audit the config again")
