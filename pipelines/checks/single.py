"""Truth checks: was an attack fooled? From measured rows alone; the audit adds probes of the system itself.

After the checklists of Carlini et al. (2019), Croce and Hein (2020) and Tramer et al. (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import e

import numpy as np

from clearsight.data.statistics import mcnemar_exact
from clearsight.pipelines.checks.attack_record import LEAD, AttackRecord, outcome, points
from clearsight.pipelines.checks.pairwise import RELATIONS
from clearsight.pipelines.runs.columns import Columns
from clearsight.pipelines.runs.summary import Check, CheckVerdict

SPARSE = 0.5
"""Share of useless values above which a gradient is suspect. Honest networks and filters stay far below: a
median filter, the worst of them, passes 0.7 of the pixels, a classifier nearly all."""
DEAD = 0.9
"""Share above which a gradient leads nowhere; the gradient path bypasses a part above the same share."""
UNTESTED = 0.02
"""Share of images that may count as robust untested before the figure is worth nothing."""


BLIND = "square"
"""The member of a composition that sees scores alone."""


def checks_of(cell: AttackRecord, others: Sequence[AttackRecord], clean: Columns | None) -> list[Check]:
    """Return what all checks that apply to an attacked cell find.

    Args:
        cell: the cell.
        others: the other attacked cells of the same system under the same condition.
        clean: rows of the same system and condition without an attack, where they were measured.
    """
    alone: tuple[Callable[[AttackRecord], Check | None], ...]
    alone = (
        _zero_gradients,
        _untested,
        _broken_gradient,
        _false_gradient,
        _blind_member,
        _loss_rises,
        _eot,
        _chance,
    )
    against: tuple[Callable[[AttackRecord, Columns], Check | None], ...]
    against = (_above_clean, _random_outputs, _probabilities)
    checks = [check(cell) for check in alone]
    checks += [relation(cell, others) for relation in RELATIONS]
    if clean is not None:
        checks += [check(cell, clean) for check in against]
    return [check for check in checks if check is not None]


HONEST = (
    "let its code pass the true gradient (no detach, no_grad or rounding on the way), or write it as a part "
    "of its own that declares a surrogate"
)
"""What the author of a part with a missing or wrong gradient can do; a callable cannot name a surrogate."""


def reliable(checks: Sequence[Check]) -> bool:
    """Return False where a check says that the figure must not be quoted."""
    return all(check.verdict != "unreliable" for check in checks)


def _zero_gradients(cell: AttackRecord) -> Check | None:
    column = cell.columns.get("zero_gradients")
    if not cell.sees_gradient or column is None or np.isnan(column).all():
        return None
    share = float(np.nanmean(column))
    verdict: CheckVerdict = "fine" if share <= SPARSE else "suspect" if share <= DEAD else "unreliable"
    words = f"{points(share)} of the gradient's values are zero or not finite"
    if verdict == "fine":
        return Check("zero_gradients", verdict, share, f"{words}.")
    advice = "a part hides its gradient; give that part a surrogate, and add an attack on scores (square)"
    return Check("zero_gradients", verdict, share, f"{words}: {advice}.")


def _untested(cell: AttackRecord) -> Check | None:
    column = cell.columns.get("zero_gradients")
    if not cell.sees_gradient or cell.attack.threat != "adaptive" or column is None:
        return None
    left = int(((column > DEAD) & (cell.right == 1)).sum())
    share = left / len(column)
    if share <= LEAD:
        words = "No image counts as robust only because its gradient was dead."
        return Check("untested", "fine", share, words)
    words = (
        f"{left} of {len(column)} images count as robust although their gradient was dead, so nothing was "
        "really tried on them: raise the margin instead of the cross-entropy, or add square."
    )
    return Check("untested", "suspect" if share <= UNTESTED else "unreliable", share, words)


def _broken_gradient(cell: AttackRecord) -> Check | None:
    ways = ", ".join(
        f"'{name}' (passed by {cell.facts.through.get(name, 'identity')})" for name in cell.facts.broken
    )
    words = (
        f"{ways} claims an exact gradient and has none: the attack went around it, "
        f"which tells little of how robust the system is: {HONEST}."
    )
    found = Check("broken_gradient", "suspect", float(len(cell.facts.broken)), words)
    return _of_parts(cell, found, "Every part has the gradient that it claims.")


def _false_gradient(cell: AttackRecord) -> Check | None:
    names = ", ".join(f"'{name}'" for name in cell.facts.false)
    words = (
        f"The gradient of {names} is not its slope by finite differences: it points elsewhere, so attacks "
        f"that follow it prove nothing: {HONEST}, and add square."
    )
    found = Check("false_gradient", "unreliable", float(len(cell.facts.false)), words)
    return _of_parts(cell, found, "Gradients agree with finite differences.")


def _of_parts(cell: AttackRecord, found: Check, fine: str) -> Check | None:
    """Return a check whose value counts parts: fine where there is none, no check without gradients."""
    if not cell.sees_gradient:
        return None
    return found if found.value else Check(found.check, "fine", 0.0, fine)


def _blind_member(cell: AttackRecord) -> Check | None:
    """A composition ends with an attack on scores: what it breaks, the gradients should have found."""
    blind = [member for member in cell.facts.members if member["member"] == BLIND]
    if not blind or not cell.sees_gradient or not any(member["tried"] for member in blind):
        return None
    broken = sum(int(member["broken"]) for member in blind)
    share = broken / len(cell.right)
    if share <= LEAD:
        words = "Its closing Square found nothing that its gradients had missed."
        return Check("blind_member", "fine", share, words)
    words = (
        f"Its closing Square, which sees scores alone, broke {broken} of {len(cell.right)} images that its "
        "gradients had left: they are masked or mislead, so others than those may fall too."
    )
    # Where draws are random, an image may fall to a second look alone.
    return Check("blind_member", "suspect" if cell.random else "unreliable", share, words)


def _loss_rises(cell: AttackRecord) -> Check | None:
    """Look at the images that were changed: an attack that climbs a true gradient raises their loss."""
    after, before = cell.columns.get("loss"), cell.columns.get("loss_before")
    if not cell.adaptive or after is None or before is None or not cell.worked_on.any():
        return None
    changed = cell.worked_on & (cell.columns["l2"] > 0)
    if not changed.any():
        words = "The attack changed no image: its gradient is zero, or its radius is."
        return Check("loss_rises", "unreliable", None, words)
    rise = (after - before)[changed]
    flat = float((rise <= 0).mean())
    if flat <= 0.1:
        words = f"The loss rose for {points(1.0 - flat)} of the images that were changed."
        return Check("loss_rises", "fine", flat, words)
    verdict: CheckVerdict = "unreliable" if flat > 0.5 or rise.mean() <= 0 else "suspect"
    words = (
        f"The loss did not rise for {points(flat)} of the images that were changed: the gradient points "
        "elsewhere, so do not trust this figure before an attack on scores (square) agrees."
    )
    return Check("loss_rises", verdict, flat, words)


def _eot(cell: AttackRecord) -> Check | None:
    if not cell.victim_random or cell.attack.sees == "nothing":
        return None
    if cell.draws > 1:
        words = f"Random parts were averaged over {cell.draws} draws."
        return Check("eot", "fine", float(cell.draws), words)
    words = "The system draws random numbers and the attack saw one draw at a time: write eot: auto."
    return Check("eot", "unreliable", float(cell.draws), words)


def _chance(cell: AttackRecord) -> Check | None:
    """At a quarter of the range of pixels nothing can survive a strong attack."""
    from clearsight.data.statistics import wilson

    norm, eps = cell.attack.radius or ("", 0.0)
    if cell.classes is None or not cell.adaptive or not cell.full_strength:
        return None
    if norm != "linf" or eps < 64 / 255 - 1e-9:
        return None
    right = int(cell.right.sum())
    low, _ = wilson(right, len(cell.right))
    level, where = 1.0 / cell.classes, f"At {eps * 255:.0f}/255 {points(cell.accuracy)} of the images"
    if low <= level:
        return Check("chance", "fine", cell.accuracy, f"{where} are right: no better than guessing.")
    words = f"{where} still are right, where nothing can be: the attack is fooled, look for hidden gradients."
    return Check("chance", "unreliable", cell.accuracy, words)


def _above_clean(cell: AttackRecord, clean: Columns) -> Check | None:
    without = outcome(clean, random=cell.random)
    lead = cell.accuracy - float(without.mean())
    gained = int(((cell.right == 1) & (without == 0)).sum())
    lost = int(((cell.right == 0) & (without == 1)).sum())
    if lead <= LEAD or (cell.random and mcnemar_exact(gained, lost) >= 0.05):
        words = "No more images are right under attack than without."
        return Check("above_clean", "fine", lead, words)
    words = (
        f"{points(lead)} more images are right under attack than without: the attack works on something "
        "else than the system, so check its threat model and its source."
    )
    return Check("above_clean", "unreliable" if cell.adaptive else "suspect", lead, words)


def _random_outputs(cell: AttackRecord, clean: Columns) -> Check | None:
    """The same images went through twice: once for the cell without attack, once before this attack."""
    first, second = clean.get("loss"), cell.columns.get("loss_before")
    if cell.random or first is None or second is None:
        return None
    if np.isnan(first).any() or np.isnan(second).any():
        return None
    apart = float((np.abs(first - second) / (1.0 + np.abs(first))).max())
    if apart <= 1e-4:
        return Check("random_outputs", "fine", apart, "Equal images got equal outputs, twice.")
    words = (
        "Equal images got different outputs, yet no part is declared stochastic: declare the random part, "
        "so that attacks average over its draws and the judgement does not depend on one."
    )
    return Check("random_outputs", "unreliable", apart, words)


def _probabilities(cell: AttackRecord, clean: Columns) -> Check | None:
    """The softmax of a vector of probabilities never exceeds e / (e + classes - 1)."""
    confidence = clean.get("confidence")
    if cell.classes is None or confidence is None or np.isnan(confidence).any() or not cell.sees_gradient:
        return None
    top, most = e / (e + cell.classes - 1), float(confidence.max())
    if not 0.97 * top <= most <= top + 1e-5:
        return Check("probabilities", "fine", most, "The outputs look like logits.")
    words = (
        "The outputs look like probabilities: their softmax flattens the gradient; "
        "let the classifier return logits."
    )
    return Check("probabilities", "suspect", most, words)
