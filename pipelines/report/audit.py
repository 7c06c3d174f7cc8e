"""The verdict of an audit in plain words, from ``audit.json`` beside the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearsight.data.contract.estimate import Estimate
from clearsight.pipelines.report.reliability import ORDER
from clearsight.pipelines.report.words import count, listed, plain, quantity, radius, span
from clearsight.pipelines.runs.audit import AuditedSystem, parse_audit

EXPOSING = {"careless", "false security"}
"""Checks that expose what attackers who know less would report."""


@dataclass(frozen=True)
class Finding:
    """What one check of the audit said; ``attack`` is empty for a probe of the system itself."""

    check: str
    attack: str
    verdict: str
    words: str


@dataclass(frozen=True)
class Figure:
    """An accuracy that the audit measured."""

    label: str
    value: str
    interval: str


@dataclass(frozen=True)
class Judgement:
    """The audit's word on one system."""

    system: str
    trustworthy: bool
    words: str
    figures: list[Figure]
    against: list[Finding]
    passed: list[Finding]


@dataclass(frozen=True)
class Audit:
    """The audit's word on all systems."""

    trustworthy: bool
    place: str
    words: str
    systems: list[Judgement]


def audit_of(content: Mapping[str, Any] | None) -> Audit | None:
    """Return the verdict of an audit; None without one.

    Raises:
        RunError: it has another schema, or lacks what an audit must have.
    """
    if content is None:
        return None
    audit = parse_audit(content)
    systems = [_judgement(system) for system in audit.systems]
    bad = [judged.system for judged in systems if not judged.trustworthy]
    place = f"{radius(audit.norm, audit.eps)}, {count(audit.images, 'image')}"
    return Audit(audit.trustworthy, place, _overall(systems, bad), systems)


def _exposed(against: Sequence[Finding]) -> bool:
    """Return True where only attackers who know less were fooled, so that the worst case stands."""
    return {f.check for f in against if f.verdict == "unreliable"} <= EXPOSING


def _overall(systems: list[Judgement], bad: list[str]) -> str:
    if not bad:
        return (
            "No check found an attack that was fooled: the accuracies under attack can be quoted, "
            "as upper bounds on what a stronger attack would leave."
        )
    if all(_exposed(judged.against) for judged in systems if not judged.trustworthy):
        which = "This system" if len(systems) == 1 else listed(bad)
        return (
            f"{which} fooled attackers who did not know every part, not those who did: quote the worst case, "
            "and nothing that an oblivious attack leaves."
        )
    which = "this system" if len(systems) == 1 else f"{len(bad)} of {count(len(systems), 'system')}"
    return (
        f"At least one check caught an attack being fooled on {which}: do not quote the figures below for it."
    )


def _judgement(system: AuditedSystem) -> Judgement:
    trustworthy = system.verdict == "trustworthy"
    findings = [
        Finding(plain(check.check), check.attack or "", check.verdict, check.words) for check in system.checks
    ]
    against = [finding for finding in findings if finding.verdict != "fine"]
    against.sort(key=lambda finding: -ORDER.index(finding.verdict))
    return Judgement(
        system.system,
        trustworthy,
        _words(system, against, trustworthy=trustworthy),
        _figures(system),
        against,
        [finding for finding in findings if finding.verdict == "fine"],
    )


def _words(system: AuditedSystem, against: Sequence[Finding], *, trustworthy: bool) -> str:
    kept = quantity(system.worst.value if system.worst else None, "accuracy")
    if not trustworthy and _exposed(against):
        return f"What it seems to withstand is no robustness: an attacker who knows every part leaves {kept}."
    if not trustworthy:
        return f"Not to be trusted: its worst case reads {kept}, but the attacks were fooled."
    if system.undefended_worst is None:
        return f"The worst case over all attacks leaves {kept}."
    alone = quantity(system.undefended_worst.value, "accuracy")
    return f"The worst case over all attacks leaves {kept}, that of \u2018{system.undefended}\u2019 {alone}."


def _figures(system: AuditedSystem) -> list[Figure]:
    accuracies: dict[str, Estimate | None] = {
        "no attack": system.clean,
        "attacker knows the classifier alone": system.oblivious,
        "worst case": system.worst,
        f"worst case of \u2018{system.undefended}\u2019": system.undefended_worst,
    }
    return [
        Figure(label, quantity(found.value, "accuracy"), span(found.low, found.high, "accuracy"))
        for label, found in accuracies.items()
        if found
    ]
