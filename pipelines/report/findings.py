"""The findings in plain language, written from the numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clearsight.pipelines.report.attack_findings import under_attack
from clearsight.pipelines.report.ending import ending, images_of
from clearsight.pipelines.report.figures import ALL, DETECTION, Column, Figures, judged_by, value, versus
from clearsight.pipelines.report.words import count, listed, number, plain, point_span, points, quantity, span
from clearsight.pipelines.runs.summary import Difference

FEW = 2
"""Compared systems up to which each is described with accuracies, intervals and counts of conditions."""


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
    start = f"On {images_of(figures.run)}"
    if figures.primary is None:
        return [f"{start}, no metric has a value: there is nothing to report."]
    attack = next((a for a in figures.attacks if a in figures.unattacked), None)
    if attack is None:
        attacks = count(len(figures.attacks), "attack")
        return [f"{start}, {attacks} were made and nothing was measured without one.", *under_attack(figures)]
    if figures.primary not in ("accuracy", DETECTION):
        sentences = _levels(figures, start, attack)
        sentences.append("No system has a classifier, so nothing is said about accuracy.")
    elif not figures.others:
        sentences = _levels(figures, start, attack)
        if len(figures.names) > 1:
            sentences.append("No baseline is named, so the differences between systems are not tested.")
    else:
        sentences = _accounts(figures, start, attack) or _levels(figures, start, attack)
    return [*sentences, *under_attack(figures), *filter(None, [ending(figures.run)])]


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


def _accounts(figures: Figures, start: str, attack: str) -> list[str]:
    """Return what each system gains and costs, clean images first; of few systems with all the numbers."""
    few = len(figures.others) <= FEW
    told = [(name, _account(figures, name, attack, whole=few)) for name in figures.others]
    if not any(text for _, text in told):
        return []
    sentences = []
    for name, text in told:
        if not text:
            sentences.append(
                f"{_quoted(name)} was not measured together with {_quoted(str(figures.baseline))}."
            )
            continue
        sentences.append(text[0].upper() + text[1:])
        if few:
            sentences += filter(None, [_counted(figures, name, attack)])
        if len(figures.others) == 1:
            sentences += filter(None, [_extremes(figures, name, attack), _images(figures, name, attack)])
    first = sentences[0]
    if told[0][1] and figures.restores(told[0][0]):
        first = first[0].lower() + first[1:]
    return [f"{start}, compared with {_quoted(str(figures.baseline))}, {first}", *sentences[1:]]


def _account(figures: Figures, name: str, attack: str, *, whole: bool) -> str:
    """Return one system's gains and costs: clean images, all corruptions, then the groups that are clear."""
    whole_run = overall(figures, attack)
    places = [(_column(figures, "clean", attack), _untouched(figures))]
    if whole_run:
        places.append(
            (whole_run, "over all corruptions" if whole_run.conditions > 1 else "under the one corruption")
        )
    phrases, hurt = [], []
    for column, place in places:
        gap = versus(figures.entry(name, column)) if column else None
        if column is None or gap is None:
            continue
        phrases.append(_phrase(figures, name, column, place, whole=whole))
        hurt += [place] if gap.verdict == "hurts" else []
    known = [column for column, _ in places]
    for verdict, verb in (("helps", "gains"), ("hurts", "loses")):
        found = _groups(figures, name, attack, known, verdict)
        if found:
            phrases.append(f"{verb} {listed([f'{gap} in {group}' for group, gap in found])}")
            hurt += [f"in {group}" for group, _ in found if verdict == "hurts"]
    if not phrases:
        return ""
    text = f"{_subject(figures, name)} {listed(phrases)}."
    return f"{text} Restoration hurts here: {listed(hurt)}." if hurt and figures.restores(name) else text


def _phrase(figures: Figures, name: str, column: Column, place: str, *, whole: bool) -> str:
    gap = versus(figures.entry(name, column))
    if gap is None:
        return ""
    lost = number(abs(100 * gap.difference))
    words = {"helps": f"gains {lost} points {place}", "hurts": f"costs {lost} points {place}"}
    text = words.get(gap.verdict, f"makes no clear difference {place}")
    if whole:
        before, after = (_accuracy(figures, who, column) for who in (figures.baseline, name))
        return f"{text} ({before} to {after}; {_gap(gap)})"
    return text if gap.verdict in words else f"{text} ({points(gap.difference)} points)"


def _groups(
    figures: Figures, name: str, attack: str, known: Sequence[Column | None], verdict: str
) -> list[tuple[str, str]]:
    """Return the groups with a clear verdict and what is gained or lost in them, the most first."""
    columns = [column for column in figures.columns() if column.attack == attack and column not in known]
    gaps = [(column.group, gap) for column in columns if (gap := versus(figures.entry(name, column)))]
    found = [(abs(100 * gap.difference), plain(group)) for group, gap in gaps if gap.verdict == verdict]
    return [(group, number(size)) for size, group in sorted(found, reverse=True)]


def overall(figures: Figures, attack: str) -> Column | None:
    """Return the column that stands for everything that corrupts: of one group alone it is that group's."""
    if column := _column(figures, ALL, attack):
        return column
    columns = [column for column in figures.columns() if column.attack == attack and column.group != "clean"]
    return columns[0] if len(columns) == 1 else None


def _subject(figures: Figures, name: str) -> str:
    return f"restoration with \u2018{name}\u2019" if figures.restores(name) else f"\u2018{name}\u2019"


def _counted(figures: Figures, name: str, attack: str) -> str:
    tally = next((t for t in tallies(figures) if (t.system, t.attack) == (name, attack)), None)
    if tally is None or tally.total == 1:
        return ""
    what = "corrupted conditions" if len(figures.severities()) > 1 else "corruptions"
    parts = [f"helps under {tally.helps} of {tally.total} {what}"]
    if tally.hurts:
        parts.append(f"hurts under {tally.hurts}")
    if tally.unclear:
        parts.append(f"makes no clear difference under {tally.unclear}")
    return f"It {listed(parts)}."


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
    column = overall(figures, attack)
    entry = figures.entry(name, column) if column else None
    before, after = value(entry, "psnr_in"), value(entry, "psnr")
    if not before or not after:
        return ""
    verb = "rises" if after.value > before.value else "falls"
    first = quantity(before.value, "psnr", unit=False)
    return f"Mean PSNR to the clean image {verb} from {first} to {quantity(after.value, 'psnr')}."


def _levels(figures: Figures, start: str, attack: str) -> list[str]:
    """Return what the systems reach, without any comparison."""
    metric = figures.primary or "accuracy"
    known = {"accuracy": "accuracy", DETECTION: "AP50"}
    name = known.get(metric, f"mean {metric.replace('_', ' ').upper()}")
    sentences: list[str] = []
    places = [(_column(figures, "clean", attack), _untouched(figures))]
    places.append((overall(figures, attack), "over all corruptions"))
    for column, place in places:
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
    found = judged_by(figures.entry(name or "", column))
    return quantity(found.value if found else None, figures.primary or "accuracy")


def _untouched(figures: Figures) -> str:
    # Photographs of bad weather are not clean, though nothing was done to them.
    return "on the images as they are" if figures.primary == DETECTION else "on clean images"


def _gap(gap: Difference) -> str:
    return f"{points(gap.difference)} points, {point_span(gap.low, gap.high)}"


def _quoted(name: str) -> str:
    return f"\u2018{name}\u2019"
