"""The findings in plain language, written from the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clearsight.pipelines.report.attack_findings import under_attack
from clearsight.pipelines.report.figures import ALL, Column, Figures, value, versus
from clearsight.pipelines.report.words import count, listed, number, point_span, points, quantity, span
from clearsight.pipelines.runs.summary import Difference

FEW = 2
"""Up to so many compared systems each get sentences of their own."""


@dataclass(frozen=True)
class Tally:
    """How often a system helps, hurts or neither, over the corrupted conditions."""

    system: str
    attack: str
    helps: int
    unclear: int
    hurts: int

    @property
    def total(self) -> int:
        """Return the number of conditions compared."""
        return self.helps + self.unclear + self.hurts


def findings(figures: Figures) -> list[str]:
    """Return the sentences of the opening paragraph, the most important first."""
    start = f"On {count(figures.run.data.samples, 'image')}"
    if figures.primary is None:
        return [f"{start}, no metric has a value: there is nothing to report."]
    attack = next((a for a in figures.attacks if a in figures.unattacked), None)
    if attack is None:
        attacks = count(len(figures.attacks), "attack")
        return [f"{start}, {attacks} were made and nothing was measured without one.", *under_attack(figures)]
    if figures.primary != "accuracy":
        sentences = _levels(figures, start, attack)
        sentences.append("No system has a classifier, so nothing is said about accuracy.")
    elif not figures.others:
        sentences = _levels(figures, start, attack)
        if len(figures.names) > 1:
            sentences.append("No baseline is named, so the differences between systems are not tested.")
    elif len(figures.others) <= FEW:
        sentences = [s for name in figures.others for s in _portrait(figures, name, attack, start)]
    else:
        sentences = _survey(figures, start, attack)
    return sentences + under_attack(figures)


def tallies(figures: Figures) -> list[Tally]:
    """Return the verdicts over the corrupted conditions, by system and attack."""
    found = []
    for attack in figures.attacks:
        for system in figures.others:
            verdicts = [
                difference.verdict
                for condition in figures.corrupted()
                if (difference := versus(figures.cell(system, condition.name, attack)))
            ]
            if verdicts:
                helps, hurts = verdicts.count("helps"), verdicts.count("hurts")
                found.append(Tally(system, attack, helps, len(verdicts) - helps - hurts, hurts))
    return found


def _portrait(figures: Figures, name: str, attack: str, start: str) -> list[str]:
    """Return the sentences on one system: how often it helps, the mean, clean images, the extremes."""
    subject = _subject(figures, name)
    opening = f"{start}, " if name == figures.others[0] else ""
    counted = _counted(figures, name, attack, subject)
    sentences = [
        line
        for line in (
            counted,
            _mean(figures, name, attack),
            _on_clean(figures, name, attack, "it" if counted else subject),
            *([] if len(figures.others) > 1 else _details(figures, name, attack)),
        )
        if line
    ]
    if not sentences:
        sentences = [f"{subject} was not measured together with \u2018{figures.baseline}\u2019."]
    first = sentences[0]
    whole = f"{opening}{first[0].lower() if opening else first[0].upper()}{first[1:]}"
    return [whole, *sentences[1:]]


def _details(figures: Figures, name: str, attack: str) -> list[str]:
    """Return what is said only where one system is compared: the extremes and the images."""
    return [_extremes(figures, name, attack), _images(figures, name, attack)]


def _subject(figures: Figures, name: str) -> str:
    return f"restoration with \u2018{name}\u2019" if figures.restores(name) else f"\u2018{name}\u2019"


def _counted(figures: Figures, name: str, attack: str, subject: str) -> str:
    tally = next((t for t in tallies(figures) if (t.system, t.attack) == (name, attack)), None)
    if tally is None:
        return ""
    what = "corrupted conditions" if len(figures.severities()) > 1 else "corruptions"
    if tally.total == 1:
        word = "helps" if tally.helps else "hurts" if tally.hurts else "makes no clear difference"
        return f"{subject} {word} under the one corruption measured."
    parts = [f"helps under {tally.helps} of {tally.total} {what}"]
    if tally.hurts:
        parts.append(f"hurts under {tally.hurts}")
    if tally.unclear:
        parts.append(f"makes no clear difference under {tally.unclear}")
    return f"{subject} {listed(parts)}."


def _mean(figures: Figures, name: str, attack: str) -> str:
    column = _column(figures, ALL, attack)
    gap = versus(figures.entry(name, column)) if column else None
    if column is None or gap is None:
        return ""
    before, after = (_accuracy(figures, who, column) for who in (figures.baseline, name))
    text = f"Mean accuracy over all corruptions goes from {before} to {after} ({_gap(gap)})"
    ending = {
        "helps": "a clear gain.",
        "hurts": f"{_hurting(figures, name)} hurts here.",
        "unclear": "not a clear difference.",
    }
    return f"{text}: {ending[gap.verdict]}"


def _on_clean(figures: Figures, name: str, attack: str, subject: str) -> str:
    column = _column(figures, "clean", attack)
    gap = versus(figures.entry(name, column)) if column else None
    if column is None or gap is None:
        return ""
    before, after = (_accuracy(figures, who, column) for who in (figures.baseline, name))
    change = f"({before} to {after}; {_gap(gap)})"
    first, last = ("On clean images it", "") if subject == "it" else (subject, " on clean images")
    if gap.verdict == "hurts":
        lost = number(-100 * gap.difference)
        culprit = _hurting(figures, name)
        return f"{first} costs {lost} points of accuracy{last} {change}: {culprit} hurts here."
    if gap.verdict == "helps":
        return f"{first} gains {number(100 * gap.difference)} points{last} {change}."
    if subject == "it":
        return f"On clean images the difference is not clear {change}."
    return f"{subject} makes no clear difference on clean images {change}."


def _hurting(figures: Figures, name: str) -> str:
    return "restoration" if figures.restores(name) else f"\u2018{name}\u2019"


def _extremes(figures: Figures, name: str, attack: str) -> str:
    """Return where the system helps most and hurts most, among the clear verdicts only."""
    gaps = [
        (difference.difference, condition.name, difference.verdict)
        for condition in figures.corrupted()
        if (difference := versus(figures.cell(name, condition.name, attack)))
    ]
    if len(gaps) < 2:
        return ""
    best = max((g for g in gaps if g[2] == "helps"), default=None)
    worst = min((g for g in gaps if g[2] == "hurts"), default=None)
    parts = []
    if best:
        parts.append(f"gains most under {figures.title(best[1])} ({points(best[0])} points)")
    if worst:
        parts.append(f"loses most under {figures.title(worst[1])} ({points(worst[0])} points)")
    return f"It {listed(parts)}." if parts else ""


def _images(figures: Figures, name: str, attack: str) -> str:
    """Return whether images came nearer to the clean ones, which need not help the classifier."""
    column = _column(figures, ALL, attack)
    entry = figures.entry(name, column) if column else None
    before, after = value(entry, "psnr_in"), value(entry, "psnr")
    if not before or not after:
        return ""
    verb = "rises" if after.value > before.value else "falls"
    first = quantity(before.value, "psnr", unit=False)
    return f"Mean PSNR to the clean image {verb} from {first} to {quantity(after.value, 'psnr')}."


def _survey(figures: Figures, start: str, attack: str) -> list[str]:
    """Return sentences that sum up many systems."""
    sentences: list[str] = []
    for group, place in ((ALL, "over all corruptions"), ("clean", "on clean images")):
        column = _column(figures, group, attack)
        gaps = {
            name: gap for name in figures.others if column and (gap := versus(figures.entry(name, column)))
        }
        if not gaps:
            continue
        lead = f"{start}, compared with {_quoted(str(figures.baseline))}" if not sentences else ""
        lead = f"{lead} and {place}" if lead else place[0].upper() + place[1:]
        sentences.append(f"{lead}, {_sorted_out(gaps)}.")
        losers = [name for name, gap in gaps.items() if gap.verdict == "hurts"]
        if losers and any(figures.restores(name) for name in losers):
            sentences.append(f"Restoration hurts here with {listed([_quoted(n) for n in losers])}.")
    return sentences or _levels(figures, start, attack)


def _sorted_out(gaps: Mapping[str, Difference]) -> str:
    phrases = []
    for verdict, verb in (("helps", "gain"), ("hurts", "lose")):
        group = {name: gap.difference for name, gap in gaps.items() if gap.verdict == verdict}
        if group:
            most = max(group, key=lambda n: abs(group[n]))
            which = f"{_quoted(most)}{' most' if len(group) > 1 else ''}, {points(group[most])} points"
            ending = "" if len(group) > 1 else "s"
            phrases.append(f"{len(group)} of {len(gaps)} systems {verb}{ending} accuracy ({which})")
    unclear = sum(gap.verdict == "unclear" for gap in gaps.values())
    if unclear:
        phrases.append(f"{unclear} show{'s' if unclear == 1 else ''} no clear difference")
    return listed(phrases)


def _levels(figures: Figures, start: str, attack: str) -> list[str]:
    """Return what the systems reach, without any comparison."""
    metric = figures.primary or "accuracy"
    name = "accuracy" if metric == "accuracy" else f"mean {metric.replace('_', ' ').upper()}"
    sentences: list[str] = []
    for group, place in (("clean", "on clean images"), (ALL, "over all corruptions")):
        column = _column(figures, group, attack)
        levels = {n: v for n in figures.names if column and (v := value(figures.entry(n, column), metric))}
        if not levels:
            continue
        best = max(levels, key=lambda name: levels[name].value)
        highest = levels[best]
        interval = span(highest.low, highest.high, metric)
        shown = quantity(highest.value, metric) + (f" ({interval})" if interval else "")
        lead = f"{start}, {name} {place}" if not sentences else f"{name} {place}"
        most = " highest" if len(levels) > 1 else ""
        lead = lead if not sentences else lead[0].upper() + lead[1:]
        before = value(figures.entry(best, column) if column else None, f"{metric}_in")
        was = f", against {quantity(before.value, metric)} before restoration" if before else ""
        sentences.append(f"{lead} is{most} with {_quoted(best)}: {shown}{was}.")
    return sentences or [f"{start}, {count(len(figures.cells), 'cell')} were measured; see the tables below."]


def _column(figures: Figures, group: str, attack: str) -> Column | None:
    return next((c for c in figures.columns() if (c.group, c.attack) == (group, attack)), None)


def _accuracy(figures: Figures, name: str | None, column: Column) -> str:
    accuracy = value(figures.entry(name or "", column), "accuracy")
    return quantity(accuracy.value if accuracy else None, "accuracy")


def _gap(gap: Difference) -> str:
    return f"{points(gap.difference)} points, {point_span(gap.low, gap.high)}"


def _quoted(name: str) -> str:
    return f"\u2018{name}\u2019"
