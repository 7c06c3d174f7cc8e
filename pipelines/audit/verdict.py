"""The verdict of an audit, from the summary of its run and the probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from clearsight.data.contract.errors import RunError
from clearsight.data.contract.estimate import Estimate
from clearsight.data.statistics import wilson
from clearsight.pipelines.audit.derive import MARGIN, TARGETED, Subjects, Threat
from clearsight.pipelines.checks.attack_record import points
from clearsight.pipelines.runs.audit import SCHEMA, AuditCheck, AuditedSystem, AuditSummary
from clearsight.pipelines.runs.summary import CellFigures, Check, RunSummary, WorstCase

if TYPE_CHECKING:
    from clearsight.pipelines.audit.probes import Probed

GAP = 0.1
"""Share of images that an attacker who knows less may leave more, before it is called false security."""
LOSSES = ("pgd-40", MARGIN, TARGETED)
"""Attacks on the cross-entropy, on the margin and towards one class after the other. On honest networks they
differ by less than `GAP`: a few points on adversarially trained ones."""
REACH = 0.02
"""Share of images within which a system counts as no better than without its restorers."""


def judge(
    summary: RunSummary, subjects: Subjects, threat: Threat, probed: Mapping[str, Probed]
) -> AuditSummary:
    """Return what ``audit.json`` holds.

    Args:
        summary: of the run that `derive` made.
        subjects: what was audited.
        threat: norm and radius.
        probed: system -> what its probes found.
    """
    systems = [_system(_Figures(summary, name, threat), subjects, probed[name]) for name in subjects.names]
    sound = all(system.verdict == "trustworthy" for system in systems)
    return AuditSummary(
        schema=SCHEMA,
        verdict="trustworthy" if sound else "unreliable",
        norm=threat.norm,
        eps=threat.eps,
        images=summary.data.samples,
        systems=systems,
    )


class _Figures:
    """Looks things up in a summary for one system."""

    def __init__(self, summary: RunSummary, system: str, threat: Threat) -> None:
        self.summary, self.system, self.threat = summary, system, threat
        self.cells = {cell.attack: cell for cell in summary.cells if cell.system == system}
        self.attacks = {attack.name: attack for attack in summary.attacks}

    def worst(self, system: str) -> WorstCase | None:
        """Return the worst case of a system at the radius that was asked for."""
        for entry in self.summary.worst:
            here = entry.system == system and entry.norm == self.threat.norm
            if here and abs(entry.eps - self.threat.eps) < 1e-12:
                return entry
        return None

    def accuracy(self, cell: CellFigures) -> Estimate:
        """Return the figure of a cell: by vote where the system has random parts."""
        figure = cell.metrics.get("majority_accuracy") or cell.metrics["accuracy"]
        if figure is None:
            raise RunError("no accuracy was measured", where=f"system '{cell.system}', '{cell.attack}'")
        return figure

    def ignorant(self) -> tuple[str, Estimate] | None:
        """Return the weakest of the attacks that do not know the restorers, with its figure."""
        found = [
            (name, self.accuracy(cell))
            for name, cell in self.cells.items()
            if self.attacks[name].threat in ("oblivious", "transfer")
        ]
        return max(found, key=lambda item: item[1].value) if found else None


def _system(figures: _Figures, subjects: Subjects, probed: Probed) -> AuditedSystem:
    bare = subjects.undefended[figures.system]
    worst, alone = figures.worst(figures.system), figures.worst(bare) if bare else None
    checks = [AuditCheck(**asdict(check.rounded())) for check in probed.checks]
    for name, cell in figures.cells.items():
        checks += [AuditCheck(**asdict(check), attack=name) for check in cell.checks]
    own = [_curve(figures, probed.classes), _losses_agree(figures)]
    own += [_false_security(figures, worst, alone), _gain(worst, alone, bare)]
    checks += [AuditCheck(**asdict(check.rounded())) for check in own if check]
    condemned = any(check.verdict == "unreliable" for check in checks)
    ignorant = figures.ignorant()
    return AuditedSystem(
        system=figures.system,
        verdict="unreliable" if condemned else "trustworthy",
        undefended=bare,
        clean=figures.accuracy(figures.cells["none"]),
        worst=_figure(worst),
        oblivious=ignorant[1] if ignorant else None,
        undefended_worst=_figure(alone),
        checks=checks,
    )


def _figure(worst: WorstCase | None) -> Estimate | None:
    return (worst.majority or worst.accuracy) if worst else None


def _curve(figures: _Figures, classes: int) -> Check | None:
    """Look at the largest radius that was attacked: nothing may be left there."""
    told = [(figures.attacks[name].eps or 0.0, name) for name in figures.cells]
    eps, name = max((item for item in told if item[1].startswith("pgd-")), default=(0.0, ""))
    if not name:
        return None
    found = figures.accuracy(figures.cells[name])
    n, value = figures.cells[name].n, found.value
    where = f"At {figures.threat.norm} {eps:.4g} {points(value)} of the images are right"
    low, _ = wilson(round(value * n), n)
    if low <= 1.0 / classes:
        return Check("eps_curve", "fine", value, f"{where}: the curve reaches chance.")
    words = f"{where}, where nothing can be: the attacks are fooled; look for hidden gradients."
    return Check("eps_curve", "unreliable", value, words)


def _losses_agree(figures: _Figures) -> Check | None:
    """A decoy class, or a flat cross-entropy, fools one loss and not the others."""
    accuracies = {name: figures.accuracy(figures.cells[name]) for name in LOSSES if name in figures.cells}
    if len(accuracies) < 2:
        return None
    strong, weak = (choose(accuracies, key=lambda name: accuracies[name].value) for choose in (min, max))
    gap = accuracies[weak].value - accuracies[strong].value
    left = {name: points(accuracies[name].value) for name in (strong, weak)}
    words = f"'{strong}' leaves {left[strong]} right, '{weak}' {left[weak]}"
    if gap <= GAP:
        return Check("losses_agree", "fine", gap, f"{words}: the losses agree.")
    words += ": a loss is masked (a decoy class, flat outputs), so the strongest may be masked too."
    return Check("losses_agree", "unreliable", gap, words)


def _false_security(figures: _Figures, worst: WorstCase | None, alone: WorstCase | None) -> Check | None:
    ignorant, figure = figures.ignorant(), _figure(worst)
    if ignorant is None or figure is None:
        return None
    name, seen = ignorant
    gap = seen.value - figure.value
    words = (
        f"Attackers who do not know the restorers ('{name}') leave {points(seen.value)} right, those who "
        f"do {points(figure.value)}"
    )
    if gap <= GAP:
        return Check("false_security", "fine", gap, f"{words}: what it shows does not depend on secrecy.")
    undefended = _figure(alone)
    nothing = undefended is not None and figure.value <= undefended.value + REACH
    if nothing:
        words += ", no more than without the restorers: they are no defence; quote the second figure."
        return Check("false_security", "unreliable", gap, words)
    return Check("false_security", "suspect", gap, f"{words}: quote the second figure.")


def _gain(worst: WorstCase | None, alone: WorstCase | None, bare: str | None) -> Check | None:
    mine, theirs = _figure(worst), _figure(alone)
    if mine is None or theirs is None:
        return None
    gain = mine.value - theirs.value
    words = (
        f"In the worst case {points(mine.value)} stay right, {points(theirs.value)} without the "
        f"restorers ('{bare}')."
    )
    return Check("gain", "fine", gain, words)
