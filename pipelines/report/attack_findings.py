"""The findings on attacks in plain language: always with the threat model, never more than was shown."""

from __future__ import annotations

from collections.abc import Sequence

from clearsight.pipelines.report.attack_tables import Side, sides, worst_entries
from clearsight.pipelines.report.figures import Figures, value
from clearsight.pipelines.report.words import count, listed, quantity, radius
from clearsight.pipelines.runs.summary import WorstCase

MOST = 3
"""Attacks, or unions of attacks, that get a sentence."""


def under_attack(figures: Figures) -> list[str]:
    """Return what each system keeps under attack, the clearest false security, and what not to trust."""
    places = _unions(figures) + _singles(figures)
    sentences = [sentence for sentence in places if sentence]
    more = len(sentences) - MOST
    sentences = sentences[:MOST]
    if more > 0:
        sentences.append(f"{count(more, 'more attack')} {'is' if more == 1 else 'are'} listed below.")
    return [*sentences, *_false_security(figures), *_distrust(figures)]


def _unions(figures: Figures) -> list[str]:
    """Return a sentence for each radius at which several attacks were made on images of one condition."""
    by_radius: dict[tuple[str, float], list[WorstCase]] = {}
    for case in worst_entries(figures):
        if case.condition == _condition(figures):
            by_radius.setdefault((case.norm, case.eps), []).append(case)
    return [_union(figures, cases) for cases in by_radius.values()]


def _union(figures: Figures, cases: Sequence[WorstCase]) -> str:
    first = cases[0]
    kept = [
        f"{quoted(case.system)} keeps {quantity(case.accuracy.value, 'accuracy')}{_warning(case.reliable)}"
        for case in cases
    ]
    names = dict.fromkeys(name for case in cases for name in case.attacks)
    threats = listed(list(dict.fromkeys(threat for name in names if (threat := figures.threat(name)))))
    knowledge = f" ({threats})" if threats else ""
    place = f"at {radius(first.norm, first.eps)} on {figures.images(first.condition)}"
    text = f"In the worst case over {len(names)} attacks{knowledge} {place}, {listed(kept)} of accuracy"
    blind = [
        case.system
        for case in cases
        if not any(figures.informed(case.system, attack) for attack in case.attacks)
    ]
    if blind:
        owners = listed([quoted(name) for name in blind])
        return f"{text}; no attack among them knew all of {owners}, so nothing is said about its robustness."
    return f"{text}."


def _singles(figures: Figures) -> list[str]:
    """Return a sentence for each attack that no union holds; of several sizes of one, for the largest."""
    condition = _condition(figures)
    joined = {name for case in figures.run.worst if case.condition == condition for name in case.attacks}
    largest: dict[tuple[str | None, ...], tuple[float, str]] = {}
    for name in figures.attacked:
        if name in joined or not any(figures.cell(system, condition, name) for system in figures.names):
            continue
        adversary = figures.adversary(name)
        if adversary.eps is None:
            largest[(name,)] = (0.0, name)
            continue
        key = (adversary.kind, adversary.norm, adversary.threat, adversary.source)
        if key not in largest or adversary.eps > largest[key][0]:
            largest[key] = (adversary.eps, name)
    return [_single(figures, name, condition) for _, name in largest.values()]


def _single(figures: Figures, attack: str, condition: str) -> str:
    kept, blind = [], []
    for name in figures.names:
        cell = figures.cell(name, condition, attack)
        accuracy = value(cell, "accuracy")
        if accuracy:
            warning = _warning(figures.flag(cell) != "unreliable")
            kept.append(f"{quoted(name)} keeps {quantity(accuracy.value, 'accuracy')}{warning}")
            blind += [] if figures.informed(name, attack) else [name]
    if not kept:
        return ""
    threat = figures.threat(attack)
    ball = f" ({figures.ball(attack)})" if figures.ball(attack) else ""
    kind = f"the {threat} attack" if threat else "the attack"
    text = f"Under {kind} {quoted(attack)}{ball} on {figures.images(condition)}, {listed(kept)} of accuracy"
    if blind:
        what = {"oblivious": "the classifier alone"}.get(threat, "another system")
        owners = listed([quoted(name) for name in blind])
        return f"{text}; it was made on {what}, so this does not measure how robust {owners} is."
    return f"{text}."


def _false_security(figures: Figures) -> list[str]:
    """Return the widest gap between an attacker who does not know the whole system and one who does."""
    found = [side for side in sides(figures) if side.clear]
    if not found:
        return []
    side: Side = max(found, key=lambda s: s.difference)
    return [
        f"Against {side.radius} an attacker who knows the classifier alone leaves {quoted(side.system)} "
        f"{side.oblivious.value}, one who knows every part {side.adaptive.value}: {side.words}."
    ]


def _distrust(figures: Figures) -> list[str]:
    cells = [cell for cell in figures.cells if cell.attack not in figures.unattacked]
    bad = sum(figures.flag(cell) == "unreliable" for cell in cells)
    if not bad:
        return []
    verb = "is" if bad == 1 else "are"
    share = f"{bad} of {count(len(cells), 'figure')}"
    return [f"{share} under attack {verb} not to be trusted; the reasons are below."]


def _condition(figures: Figures) -> str:
    """Return the condition that is spoken of: the clean one where it was attacked, else the first."""
    attacked = [cell.condition for cell in figures.cells if cell.attack not in figures.unattacked]
    return figures.clean if figures.clean in attacked and figures.clean else next(iter(attacked), "")


def _warning(trusted: bool) -> str:
    return "" if trusted else " (not to be trusted)"


def quoted(name: str) -> str:
    """Return a name in quotation marks."""
    return f"\u2018{name}\u2019"
