"""Truth checks that compare attacks on one system: the one that knows or may do more must not do worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.statistics import mcnemar_exact
from clearsight.defend.attacks.base import SLACK
from clearsight.pipelines.checks.attack_record import LEAD, AttackRecord, points
from clearsight.pipelines.runs.summary import Check, CheckVerdict

REPLAY = "replay"
SETTLED = 0.01
"""Share of images that twice the steps may still change."""


def _one_step(cell: AttackRecord, others: Sequence[AttackRecord]) -> Check | None:
    """An iterative attack must break at least what one step breaks."""
    if not cell.full_strength or not cell.sees_gradient:
        return None
    rivals = [o for o in others if o.one_step and _same_view(o, cell) and _same_radius(o, cell)]
    if not rivals:
        return None
    rival = min(rivals, key=lambda other: other.accuracy)
    lead, missed = _lead(cell, rival), _missed(cell.right, rival.right)
    verdict = _verdict(cell, rival, lead, missed, allowed=0.01)
    if verdict == "fine":
        words = f"It is at least as strong as one step ('{rival.name}')."
        return Check("one_step", verdict, lead, words)
    words = (
        f"One step ('{rival.name}') breaks {missed} images that these many steps leave, and leaves "
        f"{points(rival.accuracy)} right against {points(cell.accuracy)}: the gradient misleads; "
        "try smaller steps, more restarts, and square."
    )
    return Check("one_step", verdict, lead, words)


def _black_box(cell: AttackRecord, others: Sequence[AttackRecord]) -> Check | None:
    """An attacker who knows everything must not do worse than one who knows less."""
    if not cell.full_strength or not cell.adaptive:
        return None
    near = [o for o in others if _same_radius(o, cell)]
    blind = [o for o in near if not o.adaptive] + [o for o in others if _replayed_within(o, cell)]
    if not blind:
        return None
    rival = max(blind, key=lambda other: _missed(cell.right, other.right))
    lead, missed = _lead(cell, rival), _missed(cell.right, rival.right)
    knowing = [cell, *(o for o in near if o.full_strength and o.adaptive)]
    together = np.min(np.stack([o.right for o in knowing]), axis=0)
    verdict = _verdict(cell, rival, lead, missed, allowed=LEAD)
    if verdict == "unreliable" and _missed(together, rival.right) <= LEAD * len(cell.right):
        verdict = "suspect"  # Another white-box attack found those images too: this one is weak, not fooled.
    if verdict == "fine":
        words = f"No attacker who knows less does better (closest: '{rival.name}')."
        return Check("black_box", verdict, missed / len(cell.right), words)
    which = rival.attack.threat if rival.sees_gradient else rival.kind
    words = (
        f"The {which} attack '{rival.name}', which knows less, breaks {missed} images "
        f"({points(missed / len(cell.right))}) that this one leaves, and leaves {points(rival.accuracy)} "
        f"right against {points(cell.accuracy)}: "
        + ("the gradient is masked; " if verdict == "unreliable" else "")
        + "quote the worst case over attacks."
    )
    return Check("black_box", verdict, missed / len(cell.right), words)


def _larger_eps(cell: AttackRecord, others: Sequence[AttackRecord]) -> Check | None:
    """Every point of a smaller ball lies in a larger one."""
    if cell.attack.radius is None:
        return None
    norm, eps = cell.attack.radius
    mine = _apart_from(cell, "eps", "step_size")
    smaller = [
        other
        for other in others
        if other.attack.radius is not None
        and other.attack.radius[0] == norm
        and other.attack.radius[1] < eps
        and other.kind == cell.kind
        and _apart_from(other, "eps", "step_size") == mine
    ]
    if not smaller:
        return None
    rival = min(smaller, key=lambda other: other.accuracy)
    lead, missed = _lead(cell, rival), _missed(cell.right, rival.right)
    verdict = _verdict(cell, rival, lead, missed, allowed=1.0)
    if verdict == "fine":
        return Check(
            "larger_eps", verdict, lead, f"It is at least as strong as at the smaller '{rival.name}'."
        )
    words = (
        f"It leaves {points(cell.accuracy)} right, the same attack at a smaller radius ('{rival.name}') "
        f"{points(rival.accuracy)}: the search is lost in a flat region; look for masked gradients."
    )
    return Check("larger_eps", verdict, lead, words)


def _more_steps(cell: AttackRecord, others: Sequence[AttackRecord]) -> Check | None:
    """Twice the steps must change nothing."""
    steps = getattr(cell.attack, "steps", None)
    if not isinstance(steps, int) or not cell.sees_gradient:
        return None
    mine = _apart_from(cell, "steps", "step_size")
    partners = [
        other
        for other in others
        if other.kind == cell.kind
        and _apart_from(other, "steps", "step_size") == mine
        and max(_steps(other), steps) >= 1.9 * min(_steps(other), steps)
    ]
    if not partners:
        return None
    other = min(partners, key=lambda one: abs(np.log(_steps(one) / steps)))
    short, long = sorted((cell, other), key=_steps)
    change = short.accuracy - long.accuracy
    pair = f"{_steps(long)} steps in place of {_steps(short)}"
    # One image of a small set is more than one point, and no sign of anything.
    if abs(change) <= max(SETTLED, 1.001 / len(cell.right)) or (cell.random and _by_luck(short, long)):
        words = f"{pair} change the accuracy by {100 * abs(change):.1f} points: the attack has settled."
        return Check("more_steps", "fine", change, words)
    words = f"{pair} change the accuracy by {100 * abs(change):.1f} points: use more steps, or apgd."
    return Check("more_steps", "suspect", change, words)


RELATIONS: tuple[Callable[[AttackRecord, Sequence[AttackRecord]], Check | None], ...]
RELATIONS = (_one_step, _black_box, _larger_eps, _more_steps)


def _verdict(
    cell: AttackRecord, rival: AttackRecord, lead: float, missed: int, *, allowed: float
) -> CheckVerdict:
    """Judge a rival that should be weaker by its lead in accuracy and by the images that only it broke."""
    if cell.random and _by_luck(cell, rival):
        return "fine"
    if lead > LEAD:
        return "unreliable"
    return "suspect" if missed > allowed * len(cell.right) else "fine"


def _by_luck(one: AttackRecord, other: AttackRecord) -> bool:
    """With random parts the same image may be right once and wrong once: is the difference only that?"""
    return mcnemar_exact(_missed(one.right, other.right), _missed(other.right, one.right)) >= 0.05


def _lead(cell: AttackRecord, rival: AttackRecord) -> float:
    return cell.accuracy - rival.accuracy


def _missed(left: NDArray[np.float64], by: NDArray[np.float64]) -> int:
    """Return how many images the second broke that the first left."""
    return int(((left == 1) & (by == 0)).sum())


def _same_view(one: AttackRecord, other: AttackRecord) -> bool:
    return (one.attack.threat, one.attack.source) == (other.attack.threat, other.attack.source)


def _same_radius(one: AttackRecord, other: AttackRecord) -> bool:
    return one.attack.radius is not None and one.attack.radius == other.attack.radius


def _replayed_within(other: AttackRecord, cell: AttackRecord) -> bool:
    """Images from an earlier run promise no radius, but their perturbations were measured."""
    norm, eps = cell.attack.radius or ("", 0.0)
    size = other.columns.get(norm)
    if other.kind != REPLAY or size is None:
        return False
    return bool(np.nanmax(size) <= eps * (1.0 + SLACK) + 1e-6)


def _apart_from(cell: AttackRecord, *names: str) -> dict[str, Any]:
    """Return the attack's fields without these, and without those that do not affect its result."""
    return cell.attack.model_dump(mode="json", exclude={*names, "keep"})


def _steps(cell: AttackRecord) -> int:
    return int(getattr(cell.attack, "steps", 0))
